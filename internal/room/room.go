// Package room bounds how many connections a listener serves at a time, and has those that ask nothing give way, so
// that nobody is kept out for long by connections that are only kept open, or ask slowly.
//
// It owns which connection is closed. It must not read what comes over one: whoever serves it tells when a whole
// request has arrived.
package room

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Listener serves at most so many connections at a time. When it is full it makes room for the next one by closing
// the one that has waited longest for a whole request, if for a grace at least. Those with a whole request stay.
type Listener struct {
	net.Listener
	limit int
	grace time.Duration
	start time.Time
	// wanted says that all connections are busy and the first that is not is waited for.
	wanted atomic.Bool

	mu     sync.Mutex
	room   *sync.Cond // a connection was closed, or may be now
	open   map[*Conn]struct{}
	closed bool
}

// Listen bounds a listener, whose Accept is to be called by one goroutine only.
func Listen(l net.Listener, limit int, grace time.Duration) *Listener {
	bounded := &Listener{Listener: l, limit: limit, grace: grace, start: time.Now(), open: map[*Conn]struct{}{}}
	bounded.room = sync.NewCond(&bounded.mu)
	return bounded
}

// Accept waits for a connection and then, when there are too many, for room for it.
func (l *Listener) Accept() (net.Conn, error) {
	accepted, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.open) >= l.limit && !l.closed {
		l.makeRoom()
	}
	if l.closed {
		_ = accepted.Close()
		return nil, net.ErrClosed
	}
	c := &Conn{Conn: accepted, of: l}
	c.since.Store(l.now())
	l.open[c] = struct{}{}
	return c, nil
}

// makeRoom closes the connection that has waited longest, or waits until there may be one to close. The
// lock is held, but not while it waits.
func (l *Listener) makeRoom() {
	l.wanted.Store(true) // before it is looked, so that none is missed that waits from now on
	longest := l.longestWaiting()
	if longest == nil {
		l.room.Wait()
		return
	}
	l.wanted.Store(false) // others that begin to wait do so after this one
	if left := l.grace - time.Duration(l.now()-longest.since.Load()); left > 0 {
		timer := time.AfterFunc(left, l.wake)
		defer timer.Stop()
		l.room.Wait()
		return
	}
	longest.pushed = true
	// Its place is free once its handler has ended, too: the server then calls Close.
	_ = longest.Conn.Close()
	l.room.Wait()
}

// longestWaiting is nil when all are busy, or being closed. It needs l.mu.
func (l *Listener) longestWaiting() *Conn {
	var longest *Conn
	for c := range l.open {
		if c.pushed || c.underWay.Load() > 0 {
			continue
		}
		if longest == nil || c.since.Load() < longest.since.Load() {
			longest = c
		}
	}
	return longest
}

// now is a time that no change of the clock moves.
func (l *Listener) now() int64 { return int64(time.Since(l.start)) }

// wake takes the lock so that it cannot come before the Wait that it is to end.
func (l *Listener) wake() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.room.Broadcast()
}

// Close ends Accept, also while it waits for room.
func (l *Listener) Close() error {
	l.mu.Lock()
	l.closed = true
	l.room.Broadcast()
	l.mu.Unlock()
	return l.Listener.Close()
}

// Conn is a connection of a Listener. It waits for a request from its beginning.
type Conn struct {
	net.Conn
	of       *Listener
	underWay atomic.Int32
	since    atomic.Int64 // when it began to wait, by Listener.now
	pushed   bool         // out, to make room; guarded by of.mu
}

// Close closes the connection, and gives its room to another.
func (c *Conn) Close() error {
	err := c.Conn.Close()
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	if _, open := c.of.open[c]; open {
		delete(c.of.open, c)
		c.of.room.Broadcast()
	}
	return err
}

// Begin says that a whole request has arrived, beside others that are under way; End, that it was answered.
func (c *Conn) Begin() { c.underWay.Add(1) }

// End says that one request was answered.
func (c *Conn) End() {
	c.since.Store(c.of.now())
	if c.underWay.Add(-1) == 0 {
		c.waits()
	}
}

// Busy says, for a server that tells no more than that, that a whole request has arrived.
func (c *Conn) Busy() { c.underWay.Store(1) }

// Idle says, after Busy, that everything that was asked has been answered.
func (c *Conn) Idle() {
	c.since.Store(c.of.now())
	c.underWay.Store(0)
	c.waits()
}

func (c *Conn) waits() {
	if c.of.wanted.Load() {
		c.of.wake()
	}
}

// Of finds the connection below TLS, and nil where there is none.
func Of(c net.Conn) *Conn {
	if secure, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = secure.NetConn()
	}
	own, _ := c.(*Conn)
	return own
}
