package room

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what is sure to happen.
const patience = 30 * time.Second

type bounded struct {
	t *testing.T
	*Listener
}

func listen(t *testing.T, limit int, grace time.Duration) *bounded {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &bounded{t, Listen(l, limit, grace)}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

// connect opens a connection, and returns its other end, once it is served.
func (b *bounded) connect() (client net.Conn, served *Conn) {
	b.t.Helper()
	client = b.dial()
	accepted, err := b.Accept()
	if err != nil {
		b.t.Fatal(err)
	}
	served = Of(accepted)
	b.t.Cleanup(func() { _ = served.Close() })
	return client, served
}

func (b *bounded) dial() net.Conn {
	b.t.Helper()
	client, err := net.DialTimeout("tcp", b.Addr().String(), patience)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = client.Close() })
	return client
}

// serveOut closes a connection, as a server does, once it has been pushed out.
func serveOut(c *Conn) {
	_, _ = io.Copy(io.Discard, c)
	_ = c.Close()
}

func TestTheLongestWaitingGivesWay(t *testing.T) {
	b := listen(t, 3, time.Millisecond)
	first, served := b.connect()
	served.Begin()
	served.Begin()
	served.End() // one of two is still under way
	second, idle := b.connect()
	third, latest := b.connect()
	idle.Busy()
	idle.Idle() // it has asked later than the third
	for _, c := range []*Conn{idle, latest} {
		go serveOut(c)
	}
	b.connect()
	if err := third.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := third.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the one that has waited longest reads %v", err)
	}
	for name, c := range map[string]net.Conn{"busy": first, "younger": second} {
		if err := c.SetReadDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the %s one reads %v", name, err)
		}
	}
}

func TestWhoWaitsForRoomIsToldOfIt(t *testing.T) {
	for name, free := range map[string]func(*Conn){
		"closed":           func(c *Conn) { _ = c.Close() },
		"idle":             (*Conn).Idle,
		"all was answered": (*Conn).End,
	} {
		t.Run(name, func(t *testing.T) {
			b := listen(t, 1, time.Millisecond)
			_, served := b.connect()
			served.Begin()
			go serveOut(served)
			b.dial()
			accepted := make(chan error, 1)
			go func() {
				_, err := b.Accept()
				accepted <- err
			}()
			select {
			case err := <-accepted:
				t.Fatalf("a busy connection gave way: %v", err)
			case <-time.After(20 * time.Millisecond):
			}
			free(served)
			select {
			case err := <-accepted:
				if err != nil {
					t.Error(err)
				}
			case <-time.After(patience):
				t.Error("nobody was let in")
			}
		})
	}
}

func TestCloseEndsTheWaitForRoom(t *testing.T) {
	b := listen(t, 1, time.Hour)
	b.connect()
	b.dial()
	accepted := make(chan error, 1)
	go func() {
		_, err := b.Accept()
		accepted <- err
	}()
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if err := <-accepted; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept returned %v", err)
	}
}
