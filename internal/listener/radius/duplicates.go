package radius

import (
	"net/netip"
	"sync"
	"time"

	"layeh.com/radius"
)

const (
	// maxRemembered bounds how many requests are remembered. Of one port of a client, there are 256 at most.
	maxRemembered = 1 << 16
	// maxRememberedBytes bounds their replies, which return all Proxy-States of a request: up to a whole packet each.
	maxRememberedBytes = 32 << 20
	// rememberFor is for how long a request is remembered: the longest that RFC 5080, section 2.2.2, has it.
	rememberFor = 30 * time.Second
)

// duplicates knows the requests of late, so that one that is sent again is answered by the same bytes, and not
// taken for another attempt (RFC 5080, section 2.2.2).
type duplicates struct {
	now func() time.Time

	mu      sync.Mutex
	entries map[origin]*entry
	// order has the entries as they came, from first on; what is before it is free.
	order []*entry
	first int
	// bytes is how long the replies of those in order are.
	bytes int
}

// origin is what a client may not use for two requests at a time.
type origin struct {
	from netip.AddrPort
	id   byte
}

// entry is one request.
type entry struct {
	origin
	code          radius.Code
	authenticator [authenticatorBytes]byte
	expire        time.Time
	reply         []byte // nil while the request is under way
	forgotten     bool
}

func newDuplicates(now func() time.Time) *duplicates {
	return &duplicates{now: now, entries: map[origin]*entry{}}
}

// begin takes up a request. One that is remembered is not fresh; its reply is nil while it is under way.
func (d *duplicates) begin(from netip.AddrPort, p *packet) (e *entry, reply []byte, fresh bool) {
	now := d.now()
	key := origin{from, p.id}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.forget(now)
	if known := d.entries[key]; known != nil && known.code == p.code && known.authenticator == p.authenticator {
		return known, known.reply, false
	}
	e = &entry{origin: key, code: p.code, authenticator: p.authenticator, expire: now.Add(rememberFor)}
	d.entries[key] = e
	d.order = append(d.order, e)
	return e, nil, true
}

// finish keeps the reply for whoever asks again.
func (d *duplicates) finish(e *entry, reply []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if e.forgotten {
		return
	}
	e.reply = reply
	d.bytes += len(reply)
	d.forget(d.now())
}

// abandon forgets a request that was not answered, so that it is taken up when it is sent again.
func (d *duplicates) abandon(e *entry) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.entries[e.origin] == e {
		delete(d.entries, e.origin)
	}
}

// forget needs d.mu.
func (d *duplicates) forget(now time.Time) {
	for d.first < len(d.order) {
		oldest := d.order[d.first]
		if len(d.order)-d.first < maxRemembered && d.bytes <= maxRememberedBytes && now.Before(oldest.expire) {
			break
		}
		oldest.forgotten = true
		d.bytes -= len(oldest.reply)
		if d.entries[oldest.origin] == oldest {
			delete(d.entries, oldest.origin)
		}
		d.order[d.first] = nil
		d.first++
	}
	if d.first > len(d.order)/2 {
		n := copy(d.order, d.order[d.first:])
		clear(d.order[n:])
		d.order, d.first = d.order[:n], 0
	}
}
