package radius

import (
	"net"
	"net/netip"
	"slices"
	"sync"
)

const (
	// maxHandshakes bounds the connections over TLS that have not shown yet whose they are, and maxHandshakesOf those
	// of one address. A gateway's takes some milliseconds.
	maxHandshakes   = 256
	maxHandshakesOf = 64
)

// handshakes are the connections that have not shown yet whose they are. When there are too many, of one address or
// in all, the oldest gives way: who only connects keeps neither those out who are served nor those who are to be.
type handshakes struct {
	mu      sync.Mutex
	waiting []handshake // the oldest first
}

type handshake struct {
	conn net.Conn
	from netip.Prefix
}

// begin takes in a connection.
func (h *handshakes) begin(conn net.Conn) {
	added := handshake{conn, networkOf(conn.RemoteAddr())}
	sameAddress := func(other handshake) bool { return other.from == added.from }
	h.mu.Lock()
	defer h.mu.Unlock()
	same := 0
	for i := range h.waiting {
		if sameAddress(h.waiting[i]) {
			same++
		}
	}
	switch {
	case same >= maxHandshakesOf:
		h.pushOut(slices.IndexFunc(h.waiting, sameAddress))
	case len(h.waiting) >= maxHandshakes:
		h.pushOut(0)
	}
	h.waiting = append(h.waiting, added)
}

// pushOut needs h.mu.
func (h *handshakes) pushOut(i int) {
	_ = h.waiting[i].conn.Close() // which ends its handshake
	h.waiting = slices.Delete(h.waiting, i, i+1)
}

// end forgets a connection, which may have been pushed out.
func (h *handshakes) end(conn net.Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.waiting = slices.DeleteFunc(h.waiting, func(other handshake) bool { return other.conn == conn })
}

// networkOf is what one peer has: an address, or an IPv6 /64.
func networkOf(address net.Addr) netip.Prefix {
	tcp, ok := address.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	a := tcp.AddrPort().Addr().Unmap().WithZone("")
	bits := a.BitLen()
	if a.Is6() {
		bits = 64
	}
	network, _ := a.Prefix(bits) // the bits fit
	return network
}
