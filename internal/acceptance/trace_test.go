package acceptance

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/testenv"
)

// collector receives traces by OTLP.
type collector struct {
	collectorpb.UnimplementedTraceServiceServer
	url string

	mu   sync.Mutex
	text strings.Builder
	// traces are the spans of each trace, by their names.
	traces map[string]map[string]*tracepb.Span
}

func startCollector(t *testing.T) *collector {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c, server := &collector{url: "http://" + l.Addr().String(), traces: map[string]map[string]*tracepb.Span{}}, grpc.NewServer()
	collectorpb.RegisterTraceServiceServer(server, c)
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return c
}

// Export takes spans.
func (c *collector) Export(_ context.Context, request *collectorpb.ExportTraceServiceRequest) (*collectorpb.ExportTraceServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.text.WriteString(protojson.Format(request))
	for _, of := range request.GetResourceSpans() {
		for _, scope := range of.GetScopeSpans() {
			for _, span := range scope.GetSpans() {
				id := fmt.Sprintf("%x", span.GetTraceId())
				if c.traces[id] == nil {
					c.traces[id] = map[string]*tracepb.Span{}
				}
				c.traces[id][span.GetName()] = span
			}
		}
	}
	return &collectorpb.ExportTraceServiceResponse{}, nil
}

// login is the trace of the login of a correlation id, whole.
func (c *collector) login(correlationID string) (trace string, spans map[string]*tracepb.Span, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, spans := range c.traces {
		if attribute(spans["login"], "tegata.correlation_id") == correlationID && spans["listener login"] != nil {
			return id, maps.Clone(spans), nil
		}
	}
	return "", nil, errors.New("the login has no trace yet")
}

func attribute(span *tracepb.Span, key string) string {
	for _, a := range span.GetAttributes() {
		if a.GetKey() == key {
			return a.GetValue().GetStringValue()
		}
	}
	return ""
}

// TestTraceOfALogin: the steps of each login are spans within its listener's, and tell nothing of anybody.
func TestTraceOfALogin(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testenv.Shared(t), func(s *v1alpha1.RelayServer) { s.Spec.TrustedProxies = []v1alpha1.CIDR{"127.0.0.1/32"} })
	w.addUser("mika", testenv.Combined)
	c := startCollector(t)
	s := w.startSidecar("--trace-endpoint=" + c.url)

	const gateways = "0af7651916cd43dd8448eb211c80319c"
	enrolled := w.mustLogin(s, phone("mika", oldPhone))
	mismatch := w.login(s, phone("mika", newPhone), "traceparent", "00-"+gateways+"-b7ad6b7169203331-01", "X-Forwarded-For", "203.0.113.77")
	unknown := w.login(s, guess("my-password-typed-as-a-name"))
	for name, tc := range map[string]struct {
		answer          answer
		verdict, reason string
		steps           []string
	}{
		"a first login":   {enrolled, "enroll", "", []string{"bind", "decide", "directory", "hash", "record", "session", "throttle"}},
		"another phone":   {mismatch, "deny", "DeviceMismatch", []string{"decide", "directory", "hash", "record", "throttle"}},
		"an unknown name": {unknown, "deny", "UnknownUser", []string{"decide", "directory", "hash", "record", "throttle"}},
	} {
		var spans map[string]*tracepb.Span
		id := ""
		w.eventually(func() (err error) {
			id, spans, err = c.login(tc.answer.CorrelationID)
			return err
		})
		login, listener := spans["login"], spans["listener login"]
		if string(login.GetParentSpanId()) != string(listener.GetSpanId()) {
			t.Errorf("%s: its login is not within its listener", name)
		}
		if verdict, reason := attribute(login, "tegata.verdict"), attribute(login, "tegata.reason"); verdict != tc.verdict || reason != tc.reason {
			t.Errorf("%s: the trace says %q %q, want %q %q", name, verdict, reason, tc.verdict, tc.reason)
		}
		var steps []string
		for step, span := range spans {
			if string(span.GetParentSpanId()) == string(login.GetSpanId()) {
				steps = append(steps, step)
			}
		}
		slices.Sort(steps)
		if !slices.Equal(steps, tc.steps) {
			t.Errorf("%s: steps %v, want %v", name, steps, tc.steps)
		}
		if (id == gateways) != (name == "another phone") {
			t.Errorf("%s: its trace is %s", name, id)
		}
		if trace := tc.answer.header.Get("Traceparent"); trace != "" {
			t.Errorf("%s: the reply tells of the trace: %s", name, trace)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, secret := range []string{"mika", "my-password", samplePassword, oldPhone, newPhone, "127.0.0.1\"", "203.0.113.77"} {
		if strings.Contains(c.text.String(), secret) {
			t.Errorf("the traces hold %s", secret)
		}
	}
}
