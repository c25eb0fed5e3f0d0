package radius

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"layeh.com/radius"

	"github.com/tegata-dev/tegata/internal/nas"
)

const (
	// socketBuffer is asked of the kernel, so that a burst waits there and not at the NAS.
	socketBuffer = 4 << 20
	// drainTime bounds the time that requests under way have when the listener stops.
	drainTime = 25 * time.Second
)

// Port is what a UDP port is for.
type Port int

const (
	// Authentication takes Access-Request and Status-Server; it is 1812 by custom.
	Authentication Port = iota
	// Accounting takes Accounting-Request and Status-Server; it is 1813 by custom.
	Accounting
)

func (p Port) door() *door {
	d := &door{received: newDuplicates(time.Now), underWay: &sync.WaitGroup{}, status: radius.CodeAccessAccept}
	d.permits[kindStatus] = true
	switch p {
	case Authentication:
		d.permits[kindAccess] = true
	case Accounting:
		d.permits[kindAccounting] = true
		d.status = radius.CodeAccountingResponse
	}
	return d
}

// ServeUDP answers what arrives at a socket, with that many readers, until ctx ends, and then what is under way.
func (h *Handler) ServeUDP(ctx context.Context, conn *net.UDPConn, port Port, readers int) error {
	_ = conn.SetReadBuffer(socketBuffer) // the kernel gives what it may
	d := port.door()
	lasting, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	// A deadline that is over ends the readers, and leaves the socket for the answers.
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	var wg sync.WaitGroup
	failed := make(chan error, readers)
	for range readers {
		wg.Go(func() {
			failed <- h.read(lasting, conn, d)
			_ = conn.SetReadDeadline(time.Unix(1, 0)) // one that fails ends the others
		})
	}
	wg.Wait()
	close(failed)
	h.drain(d.underWay, cancel)
	var all error
	for err := range failed {
		all = errors.Join(all, err)
	}
	return errors.Join(all, conn.Close())
}

// drain waits for what is under way, and then calls it off.
func (h *Handler) drain(underWay *sync.WaitGroup, cancel context.CancelFunc) {
	timer := time.AfterFunc(drainTime, cancel)
	defer timer.Stop()
	underWay.Wait()
}

// read answers packets until the socket's deadline is over.
func (h *Handler) read(ctx context.Context, conn *net.UDPConn, d *door) error {
	buffer := make([]byte, maxPacketBytes+1)
	for {
		n, from, err := conn.ReadFromUDPAddrPort(buffer)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read RADIUS packets: %w", err)
		}
		h.datagram(ctx, d, from, buffer[:n], func(reply []byte) {
			_, _ = conn.WriteToUDPAddrPort(reply, from) // the peer sends its request again when this fails
		})
	}
}

// datagram is one packet from an address. What fills the buffer is longer than a packet may be.
func (h *Handler) datagram(ctx context.Context, d *door, from netip.AddrPort, raw []byte, send func([]byte)) {
	from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
	var client *nas.Client
	if table := h.Clients(); table != nil {
		client = table.ByAddress(from.Addr())
	}
	if client != nil && len(raw) > maxPacketBytes {
		h.Metrics.packets[kindOf(raw[0])][malformed].Inc()
		return
	}
	h.receive(ctx, d, client, from, raw, send)
}
