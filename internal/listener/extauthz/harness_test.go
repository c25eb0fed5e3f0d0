package extauthz

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"maps"
	"math/big"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tegata-dev/tegata/internal/authn"
	"github.com/tegata-dev/tegata/internal/decision"
	"github.com/tegata-dev/tegata/internal/session"
)

const (
	// patience is how long a test waits for what is sure to happen.
	patience = 30 * time.Second

	goodToken = "good-token"
	sessionID = "01K9ZZZZZZ0000000000000000"
)

// fakeService answers by its functions, and remembers what it was asked. It admits who has the right token or
// password.
type fakeService struct {
	session func(context.Context, authn.SessionAttempt) authn.SessionResult
	login   func(context.Context, *authn.Attempt) authn.Result
	denial  authn.Denial
	policy  *authn.Policy

	mu       sync.Mutex
	sessions []authn.SessionAttempt
	logins   []*authn.Attempt
}

func newFakeService() *fakeService {
	return &fakeService{
		session: func(_ context.Context, a authn.SessionAttempt) authn.SessionResult {
			if a.Token != goodToken {
				return denySession(decision.SessionInvalid)
			}
			return authn.SessionResult{
				Outcome: decision.Outcome{Verdict: decision.Allow, Slot: decision.SlotPC},
				User:    "hanako", SessionID: sessionID,
			}
		},
		login: func(_ context.Context, a *authn.Attempt) authn.Result {
			if string(a.Password) != "correct horse" {
				return authn.Result{Outcome: decision.Outcome{Reason: decision.PasswordMismatch}}
			}
			return authn.Result{
				Outcome:    decision.Outcome{Verdict: decision.Allow, Slot: decision.SlotMobile},
				ExpireTime: time.Now().Add(time.Hour + time.Minute/2), Token: "new-token",
				Session: &session.Live{
					Session: session.Session{ID: "01K9YYYYYY0000000000000000"}, Details: session.Details{User: "taro"},
				},
			}
		},
		denial: authn.Denial{Code: 293, ResponseTime: time.Millisecond},
		policy: &authn.Policy{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8")}},
	}
}

func denySession(r decision.Reason) authn.SessionResult {
	return authn.SessionResult{
		Outcome: decision.Outcome{Verdict: decision.Deny, Reason: r, Slot: decision.SlotPC}, ID: authn.NewCorrelationID(time.Now()),
	}
}

func (f *fakeService) CheckSession(ctx context.Context, a authn.SessionAttempt) authn.SessionResult {
	f.mu.Lock()
	f.sessions = append(f.sessions, a)
	f.mu.Unlock()
	return f.session(ctx, a)
}

func (f *fakeService) Check(ctx context.Context, a *authn.Attempt) authn.Result {
	f.mu.Lock()
	f.logins = append(f.logins, a)
	f.mu.Unlock()
	return f.login(ctx, a)
}

func (f *fakeService) Denial() authn.Denial  { return f.denial }
func (f *fakeService) Policy() *authn.Policy { return f.policy }

func (f *fakeService) asked() ([]authn.SessionAttempt, []*authn.Attempt) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.sessions, f.logins
}

// server is a listener that runs until the test ends.
type server struct {
	t        testing.TB
	address  string
	registry *prometheus.Registry
	stop     context.CancelFunc
	done     chan error
}

func serve(t testing.TB, o Options) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if o.MaxWaiting == 0 {
		o.MaxWaiting = 64
	}
	if o.Log.GetSink() == nil {
		o.Log = logr.Discard()
	}
	if o.Ready == nil {
		o.Ready = func() bool { return true }
	}
	registry := prometheus.NewRegistry()
	o.Metrics = NewMetrics(registry)
	ctx, stop := context.WithCancel(context.Background())
	s := &server{t: t, address: l.Addr().String(), registry: registry, stop: stop, done: make(chan error, 1)}
	go func() { s.done <- Serve(ctx, l, o); close(s.done) }()
	t.Cleanup(func() {
		stop()
		for err := range s.done {
			if err != nil {
				t.Error(err)
			}
		}
	})
	return s
}

// failures is how often a cause was counted.
func (s *server) failures(c cause) float64 {
	s.t.Helper()
	families, err := s.registry.Gather()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, m := range families[0].GetMetric() {
		if m.GetLabel()[0].GetValue() == string(c) {
			return m.GetCounter().GetValue()
		}
	}
	s.t.Fatalf("no counter of %s", c)
	return 0
}

// dial connects to the server until the test ends.
func (s *server) dial(options ...grpc.DialOption) *grpc.ClientConn {
	s.t.Helper()
	if len(options) == 0 {
		options = []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}
	}
	conn, err := grpc.NewClient(s.address, options...)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func (s *server) client() authv3.AuthorizationClient { return authv3.NewAuthorizationClient(s.dial()) }

// check asks once, and wants an answer.
func (s *server) check(r *authv3.CheckRequest) *authv3.CheckResponse {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	response, err := s.client().Check(ctx, r)
	if err != nil {
		s.t.Fatal(err)
	}
	return response
}

func bearing(token string) map[string]string {
	return map[string]string{"authorization": "Bearer " + token}
}

// fromEnvoy is a request as Envoy makes it: names in lower case, pseudo-headers among them, and much that a check
// does not need.
func fromEnvoy(headers map[string]string) *authv3.CheckRequest {
	all := map[string]string{
		":authority": "app.example.com", ":method": "GET", ":path": "/a?b=c", ":scheme": "https", "accept": "*/*", "user-agent": "curl/8.5.0",
		"x-forwarded-proto": "https", "x-request-id": "2f0e4f0c-36a5-4f0f-8d0f-0f4f6b1b2c3d", "content-length": "", "x-envoy-internal": "true",
	}
	maps.Copy(all, headers)
	return &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Source:      &authv3.AttributeContext_Peer{Address: socket("203.0.113.9", 51324), Principal: "spiffe://cluster.local/ns/a/sa/b"},
		Destination: &authv3.AttributeContext_Peer{Address: socket("10.0.0.2", 8443), Labels: map[string]string{"app": "a"}},
		Request: &authv3.AttributeContext_Request{
			Time: timestamppb.New(time.Unix(1763000000, 5)),
			Http: &authv3.AttributeContext_HttpRequest{
				Id: "11358672183744208371", Method: "GET", Path: "/a?b=c", Host: "app.example.com", Scheme: "https", Protocol: "HTTP/2",
				Size: -1, Headers: all,
			},
		},
		ContextExtensions: map[string]string{"virtual_host": "app"},
		MetadataContext:   &corev3.Metadata{}, RouteMetadataContext: &corev3.Metadata{},
	}}
}

// rawFromEnvoy is a request as Envoy makes it with encode_raw_headers: a list of bytes.
func rawFromEnvoy(headers ...string) *authv3.CheckRequest {
	r := fromEnvoy(nil)
	list := &corev3.HeaderMap{}
	headers = append([]string{":authority", "app.example.com", ":path", "/a", "x-latin", "caf\xe9"}, headers...)
	for i := 0; i < len(headers); i += 2 {
		list.Headers = append(list.Headers, &corev3.HeaderValue{Key: headers[i], RawValue: []byte(headers[i+1])})
	}
	r.Attributes.Request.Http.Headers, r.Attributes.Request.Http.HeaderMap = nil, list
	return r
}

func from(r *authv3.CheckRequest, address string) *authv3.CheckRequest {
	r.Attributes.Source.Address = socket(address, 50000)
	return r
}

func withCertificate(r *authv3.CheckRequest, encoded string) *authv3.CheckRequest {
	r.Attributes.Source.Certificate = encoded
	return r
}

func socket(address string, port uint32) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address: address, PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: port},
	}}}
}

// clientCertificate makes one that is valid from now on for that long, and its spelling in a CheckRequest.
func clientCertificate(t testing.TB, valid time.Duration) (certificate *x509.Certificate, encoded string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(valid)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if certificate, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	text := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	// Envoy leaves no byte of it but letters, digits and a few more as it is; a space would be %20.
	return certificate, strings.ReplaceAll(url.QueryEscape(text), "+", "%20")
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

func (l *logBuffer) logger() logr.Logger { return funcr.New(l.line, funcr.Options{Verbosity: 1}) }

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
