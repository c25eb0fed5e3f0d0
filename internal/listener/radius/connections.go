package radius

import (
	"net/netip"
	"sync"
	"time"

	"github.com/go-logr/logr"

	"github.com/tegata-dev/tegata/internal/nas"
	"github.com/tegata-dev/tegata/internal/session"
)

const (
	// maxOver bounds how many connections are remembered whose session is over, until their NAS says that they have
	// ended.
	maxOver = 1 << 13
	// maxQueued bounds how many connections wait to be ended.
	maxQueued = 1 << 14
)

// Connections are those that NASes keep for sessions that began here. It observes sessions, and has the NAS end the
// connection of one that is over. It is safe for concurrent use.
type Connections struct {
	ConnectionsOptions
	queue chan *connection

	mu           sync.Mutex
	bySession    map[string]*connection
	byAccounting map[accounting]*connection
	over         []*connection // the oldest first
}

// ConnectionsOptions are what Connections work with. All are required but Retry.
type ConnectionsOptions struct {
	// Clients are who may ask at present: it has the secret to sign with and the port to send to.
	Clients func() *nas.Table
	Metrics *Metrics
	Log     logr.Logger
	// Retry is how long each try waits for an answer: 1, 2, 4 and 8 s when empty.
	Retry []time.Duration
}

// NewConnections makes Connections, which end nothing until they run.
func NewConnections(o ConnectionsOptions) *Connections {
	if len(o.Retry) == 0 {
		o.Retry = []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second}
	}
	return &Connections{
		ConnectionsOptions: o, queue: make(chan *connection, maxQueued),
		bySession: map[string]*connection{}, byAccounting: map[accounting]*connection{},
	}
}

var _ session.Observer = (*Connections)(nil)

// accounting is a NAS's own name of a connection.
type accounting struct {
	from netip.Addr
	id   string
}

// connection is what a NAS keeps for a session.
type connection struct {
	live *session.Live
	// Guarded by Connections.mu:
	report
	started bool // the NAS has told so, under the name that report has
	over    bool // the session is
	queued  bool // to be ended
	overTLS bool
}

func (c *connection) key() accounting { return accounting{c.from.Addr(), c.accounting} }

// begin remembers the connection of a session, before its NAS is told.
func (c *Connections) begin(l *session.Live, x *exchange) {
	added := &connection{live: l, report: x.reported(), overTLS: x.door.overTLS}
	added.sessionID, added.naming = l.ID, x.naming()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bySession[l.ID] = added
	if added.accounting != "" {
		c.byAccounting[added.key()] = added
	}
}

// find needs c.mu. It finds nothing of another NAS's.
func (c *Connections) find(r report) *connection {
	found := c.bySession[r.sessionID]
	if found == nil && r.sessionID == "" && r.accounting != "" {
		found = c.byAccounting[accounting{r.from.Addr(), r.accounting}]
	}
	if found == nil || !found.same(r.device) {
		return nil
	}
	return found
}

// progress is the session of a connection that a NAS tells of, nil when it is not known here.
func (c *Connections) progress(x *exchange, starts bool) *session.Live {
	r := x.reported()
	c.mu.Lock()
	defer c.mu.Unlock()
	found := c.find(r)
	if found == nil {
		return nil
	}
	if r.accounting != "" && (starts || !found.started) {
		c.unindex(found)
		id := found.sessionID
		found.report, found.started = r, true
		found.sessionID, found.naming = id, x.naming()
		c.byAccounting[found.key()] = found
	}
	return found.live
}

// unindex needs c.mu.
func (c *Connections) unindex(found *connection) {
	if c.byAccounting[found.key()] == found {
		delete(c.byAccounting, found.key())
	}
}

// stop forgets a connection that has ended, and returns its session, nil when it is not known here. Other says
// that the session is known and that what has ended is not its connection: it has another by now, or is another
// gateway's.
func (c *Connections) stop(r report) (l *session.Live, other bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	found := c.find(r)
	if found == nil {
		return nil, c.bySession[r.sessionID] != nil
	}
	if found.started && r.accounting != found.accounting {
		return nil, true
	}
	c.forget(found)
	return found.live, false
}

// stopAll forgets the connections of a NAS whose sessions began by a time, and returns those.
func (c *Connections) stopAll(of device, by time.Time) []*session.Live {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []*session.Live
	for _, found := range c.bySession {
		if found.same(of) && !found.live.Begin.After(by) {
			c.forget(found)
			all = append(all, found.live)
		}
	}
	return all
}

// forget needs c.mu.
func (c *Connections) forget(found *connection) {
	if c.bySession[found.live.ID] == found {
		delete(c.bySession, found.live.ID)
	}
	c.unindex(found)
}

// Began does nothing: the NAS of a session is known once its login is answered.
func (c *Connections) Began(*session.Live) {}

// Ended has the connection of a session end, too. A NAS that said itself that it has ended is told nothing.
func (c *Connections) Ended(l *session.Live, cause session.Cause, _ time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	found := c.bySession[l.ID]
	if found == nil {
		return
	}
	if cause == session.Stopped {
		c.forget(found)
		return
	}
	c.close(found)
}

// close has a connection end whose session is over, and remembers it for as long as there is room. It needs c.mu.
func (c *Connections) close(found *connection) {
	if !found.over {
		found.over = true
		c.over = append(c.over, found)
	}
	if len(c.over) > maxOver {
		c.forget(c.over[0])
		c.over[0] = nil
		c.over = c.over[1:]
	}
	c.enqueue(found)
}

// endAgain has a connection end that goes on although its session is over. The session may have ended before it was
// known to have a connection.
func (c *Connections) endAgain(sessionID string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if found := c.bySession[sessionID]; found != nil {
		c.close(found)
	}
}

// enqueue needs c.mu.
func (c *Connections) enqueue(found *connection) {
	if found.queued {
		return
	}
	select {
	case c.queue <- found:
		found.queued = true
	default:
		c.Metrics.disconnects[dropped].Inc()
	}
}

// take is what a connection that is to be ended is named by.
func (c *Connections) take(found *connection) (r report, overTLS bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	found.queued = false
	return found.report, found.overTLS
}

// named says whether a NAS can find a connection: by its own name of it. By the person's name alone it would end
// all connections of that person.
func (r *report) named() bool { return r.accounting != "" }
