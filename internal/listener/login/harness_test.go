package login

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"

	"github.com/tegata-dev/tegata/internal/authn"
	"github.com/tegata-dev/tegata/internal/decision"
	"github.com/tegata-dev/tegata/internal/httpserver"
	"github.com/tegata-dev/tegata/internal/session"
)

// patience is how long a test waits for what is sure to happen.
const patience = 30 * time.Second

// secret is in every field of the bodies that are refused; no answer may hold it.
const secret = "n0b0dy-sh4ll-s33"

const goodBody = `{"user":"hanako","password":"pw","program":"viewer","viewer":"pc","fingerprint":"aaaaaaaa"}`

// fakeService answers by check, and remembers what it was asked.
type fakeService struct {
	check  func(context.Context, *authn.Attempt) authn.Result
	denial authn.Denial
	policy *authn.Policy

	mu       sync.Mutex
	attempts []*authn.Attempt
}

func (f *fakeService) Check(ctx context.Context, a *authn.Attempt) authn.Result {
	f.mu.Lock()
	f.attempts = append(f.attempts, a)
	f.mu.Unlock()
	result := f.check(ctx, a)
	if result.Allowed() {
		result.Session, result.Token = testSession, "good-token"
	}
	return result
}

// EndSession knows one session.
func (f *fakeService) EndSession(token, id string) bool {
	return token == "good-token" && id == testSession.ID
}

var testSession = &session.Live{Session: session.Session{ID: "01K9ZZZZZZ0000000000000000"}}

func (f *fakeService) Denial() authn.Denial  { return f.denial }
func (f *fakeService) Policy() *authn.Policy { return f.policy }

func (f *fakeService) asked() []*authn.Attempt {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]*authn.Attempt(nil), f.attempts...)
}

func answering(r authn.Result) *fakeService {
	return &fakeService{
		check:  func(context.Context, *authn.Attempt) authn.Result { return r },
		denial: authn.Denial{Code: 293, ResponseTime: time.Millisecond},
	}
}

func denying(r decision.Reason) *fakeService {
	return answering(authn.Result{Outcome: decision.Outcome{Verdict: decision.Deny, Reason: r, Slot: decision.SlotPC}})
}

func allowing() *fakeService {
	return answering(authn.Result{
		Outcome:    decision.Outcome{Verdict: decision.Allow, Slot: decision.SlotPC},
		ExpireTime: time.Date(2026, 11, 15, 19, 17, 0, 987654321, time.FixedZone("JST", 9*60*60)),
	})
}

// server is a listener that runs until the test ends.
type server struct {
	t       *testing.T
	address string
	stop    context.CancelFunc
	done    chan error
}

func serve(t *testing.T, o httpserver.Options) *server {
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
	ctx, stop := context.WithCancel(t.Context())
	s := &server{t: t, address: l.Addr().String(), stop: stop, done: make(chan error, 1)}
	go func() { s.done <- httpserver.Serve(ctx, l, o); close(s.done) }()
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
func post(body string, headers ...string) string {
	var b strings.Builder
	b.WriteString("POST /v1/login HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n")
	for _, h := range headers {
		b.WriteString(h + "\r\n")
	}
	fmt.Fprintf(&b, "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	return b.String()
}

// newLogin is a login for a handler without a server.
func newLogin(body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/v1/login", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	return r
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
