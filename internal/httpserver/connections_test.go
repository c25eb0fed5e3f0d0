package httpserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tegata-dev/tegata/internal/room"
)

// patient are timeouts that never pass in a test.
var patient = Timeouts{ReadHeader: time.Hour, Read: time.Hour, Write: time.Hour, Idle: time.Hour, Grace: time.Hour}

func TestConnectionsThatAskNothingKeepNobodyOut(t *testing.T) {
	const limit = 32
	open := strings.Replace(post(goodBody), "Connection: close\r\n", "", 1)
	for name, tc := range map[string]struct {
		sends   string
		answers bool // an answer comes before the connection is left idle
	}{
		"nothing at all":          {"", false},
		"half a request line":     {"POST /v1/as", false},
		"half a header":           {"POST /v1/ask HTTP/1.1\r\nHost: relay\r\nX-", false},
		"half a body":             {open[:len(open)-10], false},
		"a body that never ends":  {strings.Replace(open, "Content-Length: ", "Content-Length: 9", 1), false},
		"a request, then nothing": {open, true},
	} {
		t.Run(name, func(t *testing.T) {
			timeouts := patient
			timeouts.Grace = 20 * time.Millisecond
			s := serve(t, Options{Handler: &service{}, MaxConnections: limit, Timeouts: timeouts})
			for range 10 * limit {
				conn := s.dial()
				if _, err := io.WriteString(conn, tc.sends); err != nil {
					t.Fatal(err)
				}
				if tc.answers {
					if _, err := next(conn); err != nil {
						t.Fatal(err)
					}
				}
			}
			if got := parse(t, s.send(post(goodBody))); got.status != http.StatusOK {
				t.Errorf("answered %v", got)
			}
		})
	}
}

// crowd sends as many requests as there may be connections, and when all are under way, as many again.
// release lets them be decided; outcomes has the answers to the first half and to the second.
func crowd(t *testing.T, limit int, grace time.Duration) (release func(), outcomes [2]<-chan outcome) {
	t.Helper()
	arrived, decide := make(chan struct{}, 2*limit), make(chan struct{})
	service := &service{answer: func(context.Context, string) int {
		arrived <- struct{}{}
		<-decide
		return http.StatusUnauthorized
	}}
	timeouts := patient
	timeouts.Grace = grace
	s := serve(t, Options{Handler: service, MaxConnections: limit, Timeouts: timeouts})
	ask := func(to chan<- outcome) {
		raw, err := exchange(s.address, post(goodBody))
		to <- outcome{raw, err}
	}
	var halves [2]chan outcome
	for i := range halves {
		halves[i] = make(chan outcome, limit)
		outcomes[i] = halves[i]
		for range limit {
			go ask(halves[i])
			if i == 0 {
				<-arrived
			}
		}
	}
	select {
	case <-arrived:
		t.Errorf("more than %d requests are under way", limit)
	case <-time.After(100 * time.Millisecond):
	}
	return func() { close(decide) }, outcomes
}

type outcome struct {
	raw string
	err error
}

func expectAnswers(t *testing.T, from <-chan outcome, n int) {
	t.Helper()
	for range n {
		got := <-from
		if got.err != nil {
			t.Error(got.err)
			continue
		}
		if a := parse(t, got.raw); a.status != http.StatusUnauthorized {
			t.Errorf("answered %v", a)
		}
	}
}

func TestRequestsUnderWayAreNotPushedOut(t *testing.T) {
	release, outcomes := crowd(t, 4, time.Millisecond)
	release()
	expectAnswers(t, outcomes[0], 4)
	for range 4 {
		<-outcomes[1] // after so short a grace these may have been pushed out
	}
}

// TestRequestsWithoutABodyAreWhole: their handler has no body to read to its end.
func TestRequestsWithoutABodyAreWhole(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	timeouts := patient
	timeouts.Grace = time.Nanosecond
	s := serve(t, Options{MaxConnections: 1, Timeouts: timeouts, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == path {
			close(arrived)
			<-release
		}
		w.WriteHeader(http.StatusNoContent)
	})})
	get := func(path string) string {
		return "GET " + path + " HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n\r\n"
	}
	answers := make(chan outcome, 2)
	for _, request := range []string{get(path), get("/other")} {
		go func() {
			raw, err := exchange(s.address, request)
			answers <- outcome{raw, err}
		}()
		<-arrived
	}
	select {
	case got := <-answers:
		answers <- got
		t.Error("pushed out, or answered too early")
	case <-time.After(100 * time.Millisecond):
	}
	close(release)
	for range 2 {
		if got := <-answers; got.err != nil || parse(t, got.raw).status != http.StatusNoContent {
			t.Errorf("answered %v", got)
		}
	}
}

func TestNewConnectionsHaveTheirGrace(t *testing.T) {
	release, outcomes := crowd(t, 4, time.Hour)
	release()
	expectAnswers(t, outcomes[0], 4)
	expectAnswers(t, outcomes[1], 4)
}

// TestNoMoreThanTheLimitAreOpen counts, through any mixture of what connections do.
func TestNoMoreThanTheLimitAreOpen(t *testing.T) {
	const limit, clients, rounds = 8, 32, 20
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	counted := &countedListener{Listener: l}
	server := newServer(Options{Handler: &service{}, MaxConnections: limit, Timeouts: patient.withDefaults()})
	served := make(chan error, 1)
	go func() { served <- server.Serve(room.Listen(counted, limit, time.Millisecond)) }()

	errs := make(chan error, clients)
	for i := range clients {
		go func() { errs <- behave(l.Addr().String(), i, rounds) }()
	}
	for range clients {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if err := server.Close(); err != nil {
		t.Error(err)
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
	// One more is accepted before there is room for it.
	if most := counted.most.Load(); most > limit+1 {
		t.Errorf("%d were open, limit %d", most, limit)
	}
	if open := counted.open.Load(); open != 0 {
		t.Errorf("after all are closed, %d are open", open)
	}
}

// countedListener counts the connections that are open.
type countedListener struct {
	net.Listener
	open, most atomic.Int32
}

func (l *countedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.most.Store(max(l.most.Load(), l.open.Add(1))) // one goroutine accepts
	return &countedConn{Conn: c, of: l}, nil
}

type countedConn struct {
	net.Conn
	of   *countedListener
	once sync.Once
}

func (c *countedConn) Close() error {
	c.once.Do(func() { c.of.open.Add(-1) })
	return c.Conn.Close()
}

// behave opens connections that do one of several things each. Being pushed out is no error.
func behave(address string, client, rounds int) error {
	open := strings.Replace(post(goodBody), "Connection: close\r\n", "", 1)
	for round := range rounds {
		conn, err := dial(address)
		if err != nil {
			return err
		}
		switch (client + round) % 4 {
		case 0: // ask nothing
		case 1: // ask half
			_, _ = io.WriteString(conn, open[:len(open)/2])
		case 2: // ask, and stay
			_, _ = io.WriteString(conn, open)
			_, err = next(conn)
		case 3: // ask, and hang up
			_, _ = io.WriteString(conn, open)
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return fmt.Errorf("client %d: %w", client, err)
		}
		_ = conn.Close()
	}
	return nil
}

func TestSlowRequestsAreCutOff(t *testing.T) {
	for name, tc := range map[string]struct {
		first, trickle string
	}{
		"nothing":          {"", ""},
		"header by letter": {"POST /v1/ask HTTP/1.1\r\nHost: relay\r\nX-Y: ", "z"},
		"header by line":   {"POST /v1/ask HTTP/1.1\r\nHost: relay\r\n", "X: y\r\n"},
		"body by letter":   {strings.Replace(post(""), "Content-Length: 0", "Content-Length: 8000", 1), " "},
		"body by chunk": {
			"POST /v1/ask HTTP/1.1\r\nHost: relay\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\n \r\n",
		},
		"idle after an answer": {strings.Replace(post(goodBody), "Connection: close\r\n", "", 1), ""},
		"half a request after an answer": {
			strings.Replace(post(goodBody), "Connection: close\r\n", "", 1) + "POST /v1/ask HTTP/1.1\r\nX-Y: ", "z",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const short = 300 * time.Millisecond
			service := &service{}
			s := serve(t, Options{
				Handler:  service,
				Timeouts: Timeouts{ReadHeader: short, Read: short, Idle: short},
			})
			conn := s.dial()
			if _, err := io.WriteString(conn, tc.first); err != nil {
				t.Fatal(err)
			}
			cut := make(chan struct{})
			var answer []byte
			go func() {
				defer close(cut)
				answer, _ = io.ReadAll(conn)
			}()
			start := time.Now()
			drip(conn, tc.trickle, cut)
			<-cut
			// The bound is generous; without a timeout it would be patience.
			if took := time.Since(start); took > patience/2 {
				t.Errorf("cut off after %s", took)
			}
			whole := strings.Contains(tc.first, goodBody)
			if n := service.asked(); (n == 1) != whole {
				t.Errorf("%d requests: %s", n, answer)
			}
		})
	}
}

// drip sends a little again and again, more often than any timeout, until the connection is cut.
func drip(conn net.Conn, what string, cut <-chan struct{}) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-cut:
			return
		case <-tick.C:
			_, _ = io.WriteString(conn, what)
		}
	}
}
