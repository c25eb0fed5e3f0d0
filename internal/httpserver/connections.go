package httpserver

import (
	"container/list"
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// connections is a listener that serves at most limit connections at a time. When it is full it makes
// room for the next one by closing the one that has waited longest for a whole request, if for grace at
// least, so that nobody is kept out for long by connections that ask nothing, or ask it slowly. Those
// with a whole request stay.
type connections struct {
	net.Listener
	limit int
	grace time.Duration

	mu      sync.Mutex
	room    *sync.Cond // a connection was closed, or may be now
	open    int
	closed  bool
	waiting list.List // of *connection, longest-waiting first
}

func newConnections(l net.Listener, limit int, grace time.Duration) *connections {
	c := &connections{Listener: l, limit: limit, grace: grace}
	c.room = sync.NewCond(&c.mu)
	return c
}

// Accept waits for a connection and then, when there are too many, for room for it.
func (c *connections) Accept() (net.Conn, error) {
	accepted, err := c.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.open >= c.limit && !c.closed {
		c.makeRoom()
	}
	if c.closed {
		_ = accepted.Close()
		return nil, net.ErrClosed
	}
	c.open++
	own := &connection{Conn: accepted, of: c}
	own.wait()
	return own, nil
}

// makeRoom closes the connection that has waited longest, or waits until there may be one to close. The
// lock is held, but not while it waits.
func (c *connections) makeRoom() {
	longest := c.waiting.Front()
	if longest == nil {
		c.room.Wait()
		return
	}
	own, _ := longest.Value.(*connection) // nothing else is ever put there
	if left := c.grace - time.Since(own.since); left > 0 {
		timer := time.AfterFunc(left, c.wake)
		defer timer.Stop()
		c.room.Wait()
		return
	}
	own.leave()
	// Its place is free once its handler has ended, too: the server then calls Close.
	_ = own.Conn.Close()
	c.room.Wait()
}

// wake takes the lock so that it cannot come before the Wait that it is to end.
func (c *connections) wake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.room.Broadcast()
}

// Close ends Accept, also while it waits for room.
func (c *connections) Close() error {
	c.mu.Lock()
	c.closed = true
	c.room.Broadcast()
	c.mu.Unlock()
	return c.Listener.Close()
}

// connection is one that counts.
type connection struct {
	net.Conn
	of *connections
	// Guarded by of.mu:
	closed bool
	place  *list.Element // in of.waiting, nil while a whole request is being answered
	since  time.Time     // when it began to wait
}

// Close closes the connection, and gives its room to another.
func (c *connection) Close() error {
	c.of.mu.Lock()
	c.leave()
	if !c.closed {
		c.closed = true
		c.of.open--
		c.of.room.Broadcast()
	}
	c.of.mu.Unlock()
	return c.Conn.Close()
}

// wait puts the connection behind those that wait. The lock is held.
func (c *connection) wait() {
	c.place, c.since = c.of.waiting.PushBack(c), time.Now()
}

// leave takes the connection out of those that wait. The lock is held.
func (c *connection) leave() {
	if c.place != nil {
		c.of.waiting.Remove(c.place)
		c.place = nil
	}
}

// busy says that a whole request has arrived.
func (c *connection) busy() {
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	c.leave()
}

// idle says that everything that was asked has been answered.
func (c *connection) idle() {
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	c.leave()
	if !c.closed {
		c.wait()
		c.of.room.Broadcast()
	}
}

// own finds the connection below TLS.
func own(c net.Conn) (*connection, bool) {
	if secure, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = secure.NetConn()
	}
	counted, ok := c.(*connection)
	return counted, ok
}

// observe is an http.Server's ConnState.
func observe(c net.Conn, s http.ConnState) {
	if counted, ok := own(c); ok && s == http.StateIdle {
		counted.idle()
	}
}

type connectionKey struct{}

// remember is an http.Server's ConnContext.
func remember(ctx context.Context, c net.Conn) context.Context {
	counted, _ := own(c)
	return context.WithValue(ctx, connectionKey{}, counted)
}

// watchBodies marks a connection busy when the body of a request has been read to its end.
func watchBodies(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch c, _ := r.Context().Value(connectionKey{}).(*connection); {
		case c == nil:
		case r.Body == nil || r.Body == http.NoBody:
			c.busy() // it is whole already, and nobody may ever read its end
		default:
			watched := *r
			watched.Body = &watchedBody{r.Body, c}
			r = &watched
		}
		next.ServeHTTP(w, r)
	})
}

type watchedBody struct {
	io.ReadCloser
	connection *connection
}

func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		b.connection.busy()
	}
	return n, err
}
