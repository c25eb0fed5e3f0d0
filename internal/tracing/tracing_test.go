package tracing_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"

	"github.com/tegata-dev/tegata/internal/tracing"
	"github.com/tegata-dev/tegata/internal/tracing/tracingtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newTracer(t *testing.T, endpoint string, identities bool) *tracing.Tracer {
	t.Helper()
	tracer, err := tracing.New(t.Context(), tracing.Options{
		Endpoint: endpoint, Identities: identities, Service: "tegata-sidecar", Version: "v1",
		Instance: "one", Namespace: "relays", Server: "asp1", Log: logr.Discard(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return tracer
}

// TestOffCostsNothing: without an endpoint there is no tracer, and nothing is allocated for it.
func TestOffCostsNothing(t *testing.T) {
	tracer, err := tracing.New(t.Context(), tracing.Options{})
	if err != nil || tracer.On() {
		t.Fatalf("made %v, %v; want none", tracer, err)
	}
	defer tracer.Close()
	ctx, source := t.Context(), netip.MustParseAddr("203.0.113.7")
	if allocated := testing.AllocsPerRun(100, func() {
		ctx, root := tracer.Listen(ctx, "listener", nil)
		_, span := tracer.Start(ctx, "login")
		span.Text("reason", "PasswordMismatch")
		span.Flag("enrolled", true)
		span.Identity("taro", source)
		tracer.Step(ctx, "hash").End()
		span.Fail()
		span.End()
		root.End()
	}); allocated != 0 {
		t.Errorf("%v allocations", allocated)
	}
	h := http.NewServeMux()
	if tracer.HTTP("login", nil, h) != http.Handler(h) {
		t.Error("the handler is wrapped")
	}
}

func TestIdentitiesAreOptIn(t *testing.T) {
	for name, tc := range map[string]struct {
		identities bool
		want       bool
	}{"off": {false, false}, "on": {true, true}} {
		t.Run(name, func(t *testing.T) {
			r := tracingtest.Start(t)
			tracer := newTracer(t, r.URL, tc.identities)
			ctx, span := tracer.Listen(t.Context(), "listener login", nil)
			span.Identity("taro", netip.MustParseAddr("203.0.113.7"))
			tracer.Step(ctx, "hash").End()
			span.End()
			tracer.Close()
			text := r.Text()
			_, spans := r.Find(func(s tracingtest.Spans) bool { return s["hash"] != nil })
			for _, word := range []string{"taro", "203.0.113.7"} {
				if strings.Contains(text, word) != tc.want {
					t.Errorf("%s is told: %v, want %v", word, !tc.want, tc.want)
				}
			}
			if within := spans.Within("listener login"); !slices.Equal(within, []string{"hash"}) {
				t.Errorf("the step is not within its span: %v", spans)
			}
			for _, word := range []string{`"tegata-sidecar"`, `"asp1"`, `"relays"`} {
				if !strings.Contains(text, word) {
					t.Errorf("the resource does not tell %s", word)
				}
			}
		})
	}
}

const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

// TestParent: who may name a trace has it recorded, so only a trusted proxy may.
func TestParent(t *testing.T) {
	proxies := func() []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} }
	for name, tc := range map[string]struct {
		peer   string
		told   []string
		within bool
	}{
		"a trusted proxy": {"10.1.2.3:4711", []string{parent}, true},
		"a client":        {"203.0.113.7:4711", []string{parent}, false},
		"a trusted proxy that lets the client's through": {"10.1.2.3:4711", []string{parent, "00-11111111111111111111111111111111-b7ad6b7169203331-01"}, false},
		"a trusted proxy that tells nothing":             {"10.1.2.3:4711", nil, false},
		"a trusted proxy that tells nonsense":            {"10.1.2.3:4711", []string{"00-zz-zz-01"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := tracingtest.Start(t)
			tracer := newTracer(t, r.URL, false)
			h := tracer.HTTP("login", proxies, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusOK)
			}))
			request := httptest.NewRequest(http.MethodPost, "/v1/login", http.NoBody)
			request.RemoteAddr = tc.peer
			request.Header["Traceparent"] = tc.told
			reply := httptest.NewRecorder()
			h.ServeHTTP(reply, request)
			tracer.Close()
			if len(reply.Header()) != 0 {
				t.Errorf("the reply tells of the trace: %v", reply.Header())
			}
			got, spans := r.Find(func(s tracingtest.Spans) bool { return s["listener login"] != nil })
			if spans == nil {
				t.Fatal("there is no span")
			}
			want, _ := trace.TraceIDFromHex("0af7651916cd43dd8448eb211c80319c")
			if (got == want) != tc.within {
				t.Errorf("its trace is %s; within the caller's: %v, want %v", got, !tc.within, tc.within)
			}
		})
	}
}

// TestNobodyListens: where spans cannot be sent, they are dropped, and the end is not held up.
func TestNobodyListens(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	tracer := newTracer(t, "http://"+address, false)
	for range 10_000 {
		_, span := tracer.Listen(t.Context(), "listener login", nil)
		span.End()
	}
	tracer.Close()
}

func TestValidateEndpoint(t *testing.T) {
	for endpoint, good := range map[string]bool{
		"http://127.0.0.1:4317": true, "https://collector.example:4317": true, "https://[::1]:4317/": true,
		"": false, "collector:4317": false, "grpc://collector:4317": false, "https://collector": false,
		"https://user:pass@collector:4317": false, "https://collector:4317/v1/traces": false, "https://collector:4317?x=y": false,
	} {
		if err := tracing.ValidateEndpoint(endpoint); (err == nil) != good {
			t.Errorf("%q: %v", endpoint, err)
		}
	}
}
