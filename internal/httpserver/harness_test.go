package httpserver

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
)

// patience is how long a test waits for what is sure to happen.
const patience = 30 * time.Second

// secret is in what is sent and must not be logged.
const secret = "n0b0dy-sh4ll-s33"

const (
	path     = "/v1/ask"
	goodBody = `{"user":"hanako","password":"pw"}`
)

// service is a handler that reads whole bodies, as listeners do, and has them answered.
type service struct {
	// answer says with which status; nil says 200.
	answer func(ctx context.Context, body string) int

	mu    sync.Mutex
	count int // whole requests
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 8<<10))
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	s.count++
	s.mu.Unlock()
	status := http.StatusOK
	if s.answer != nil {
		status = s.answer(r.Context(), string(body))
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, "answered\n")
}

func (s *service) asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count
}

// server is one that runs until the test ends.
type server struct {
	t       *testing.T
	address string
	stop    context.CancelFunc
	done    chan error
}

func serve(t *testing.T, o Options) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if o.MaxConnections == 0 {
		o.MaxConnections = 4096
	}
	if o.Log.GetSink() == nil {
		o.Log = logr.Discard()
	}
	o.Name = "tests"
	ctx, stop := context.WithCancel(t.Context())
	s := &server{t: t, address: l.Addr().String(), stop: stop, done: make(chan error, 1)}
	go func() { s.done <- Serve(ctx, l, o); close(s.done) }()
	t.Cleanup(func() {
		stop()
		s.wait()
	})
	return s
}

// wait waits until Serve has returned.
func (s *server) wait() {
	for range s.done {
	}
}

// dial opens a connection that ends with the test.
func (s *server) dial() net.Conn {
	s.t.Helper()
	conn, err := dial(s.address)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func dial(address string) (net.Conn, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	return conn, conn.SetDeadline(time.Now().Add(patience))
}

// send writes raw bytes to a new connection and returns everything that comes back until it is closed.
func (s *server) send(raw string) string {
	s.t.Helper()
	answer, err := exchange(s.address, raw)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer
}

// exchange is send for goroutines.
func exchange(address, raw string) (string, error) {
	conn, err := dial(address)
	if err != nil {
		return "", err
	}
	defer conn.Close() //nolint:errcheck // nothing more is expected of it
	// The peer may have read enough and closed before everything is written.
	_, _ = io.WriteString(conn, raw)
	answer, err := io.ReadAll(conn)
	if len(answer) > 0 {
		return string(answer), nil
	}
	return "", fmt.Errorf("no answer: %w", err)
}

// post makes a request of HTTP/1.1 after which the connection closes.
func post(body string) string {
	return fmt.Sprintf("POST "+path+" HTTP/1.1\r\nHost: relay\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

// answer is a response, read whole.
type answer struct {
	status int
	proto  string
	header http.Header
	body   string
}

func read(r *http.Response) (answer, error) {
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	return answer{status: r.StatusCode, proto: r.Proto, header: r.Header, body: string(body)}, err
}

// next reads one answer off a connection.
func next(conn io.Reader) (answer, error) {
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return answer{}, err
	}
	return read(response)
}

// parse reads what send returned.
func parse(t *testing.T, raw string) answer {
	t.Helper()
	a, err := next(strings.NewReader(raw))
	if err != nil {
		t.Fatalf("%v in %.200q", err, raw)
	}
	return a
}

// logBuffer collects log lines.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) line(prefix, args string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b.WriteString(prefix + " " + args + "\n")
}

func (l *logBuffer) lines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Split(strings.TrimSuffix(l.b.String(), "\n"), "\n")
}
