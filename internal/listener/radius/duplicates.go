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

	mu sync.Mutex
	// latest is the newest request of each origin.
	latest map[origin]entryID
	// entries are a ring: that of an id is at the id, modulo its length. Those from first to before next are in use.
	entries     []entry
	first, next entryID
	// bytes is how long the replies in entries are.
	bytes int
}

// entryID counts the requests.
type entryID uint64

// origin is what a client may not use for two requests at a time. It holds no pointer, so that the collector need
// not look at it.
type origin struct {
	address [16]byte
	port    uint16
	id      byte
}

// entry is one request.
type entry struct {
	origin        origin
	code          radius.Code
	authenticator [authenticatorBytes]byte
	expire        time.Duration // since start
	reply         []byte        // nil while the request is under way
}

// minRing is how many entries there is room for at first.
const minRing = 256

// start is what times are counted from, by the monotonic clock.
var start = time.Now()

func newDuplicates(now func() time.Time) *duplicates {
	return &duplicates{now: now, latest: map[origin]entryID{}, entries: make([]entry, minRing)}
}

// begin takes up a request. One that is remembered is not fresh; its reply is nil while it is under way.
func (d *duplicates) begin(from netip.AddrPort, p *packet) (id entryID, reply []byte, fresh bool) {
	now := d.now().Sub(start)
	key := origin{from.Addr().As16(), from.Port(), p.id}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.forget(now)
	if known, ok := d.latest[key]; ok {
		if e := d.at(known); e.code == p.code && e.authenticator == p.authenticator {
			return known, e.reply, false
		}
	}
	if d.next-d.first == entryID(len(d.entries)) {
		d.grow()
	}
	id = d.next
	d.next++
	*d.at(id) = entry{origin: key, code: p.code, authenticator: p.authenticator, expire: now + rememberFor}
	d.latest[key] = id
	return id, nil, true
}

// at needs d.mu.
func (d *duplicates) at(id entryID) *entry { return &d.entries[id%entryID(len(d.entries))] }

// grow needs d.mu.
func (d *duplicates) grow() {
	before := d.entries
	d.entries = make([]entry, 2*len(before))
	for id := d.first; id < d.next; id++ {
		*d.at(id) = before[id%entryID(len(before))]
	}
}

// finish keeps the reply for whoever asks again.
func (d *duplicates) finish(id entryID, reply []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if id < d.first {
		return
	}
	d.at(id).reply = reply
	if d.bytes += len(reply); d.bytes > maxRememberedBytes {
		d.forget(d.now().Sub(start))
	}
}

// abandon forgets a request that was not answered, so that it is taken up when it is sent again.
func (d *duplicates) abandon(id entryID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if id >= d.first {
		d.drop(id)
	}
}

// drop needs d.mu. Another request of the same origin stays.
func (d *duplicates) drop(id entryID) {
	if key := d.at(id).origin; d.latest[key] == id {
		delete(d.latest, key)
	}
}

// forget needs d.mu. The oldest make room even before their time.
func (d *duplicates) forget(now time.Duration) {
	for d.first < d.next && (d.next-d.first >= maxRemembered || d.bytes > maxRememberedBytes || now >= d.at(d.first).expire) {
		d.drop(d.first)
		d.bytes -= len(d.at(d.first).reply)
		d.at(d.first).reply = nil
		d.first++
	}
}
