// Package tracingtest receives traces as a collector does, by OTLP over gRPC.
//
// It is for tests alone.
package tracingtest

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.opentelemetry.io/otel/trace"
	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"
)

// Spans are those of one trace, by their names.
type Spans map[string]*tracepb.Span

// Receiver takes spans until the test ends.
type Receiver struct {
	collectorpb.UnimplementedTraceServiceServer
	// URL is where it listens.
	URL string

	mu     sync.Mutex
	text   strings.Builder
	traces map[trace.TraceID]Spans
}

// Start starts a Receiver.
func Start(t testing.TB) *Receiver {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r, server := &Receiver{URL: "http://" + l.Addr().String(), traces: map[trace.TraceID]Spans{}}, grpc.NewServer()
	collectorpb.RegisterTraceServiceServer(server, r)
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-done; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			t.Error(err)
		}
	})
	return r
}

// Export takes spans.
func (r *Receiver) Export(_ context.Context, request *collectorpb.ExportTraceServiceRequest) (*collectorpb.ExportTraceServiceResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.text.WriteString(protojson.Format(request))
	for _, of := range request.GetResourceSpans() {
		for _, scope := range of.GetScopeSpans() {
			for _, span := range scope.GetSpans() {
				id := trace.TraceID(span.GetTraceId())
				if r.traces[id] == nil {
					r.traces[id] = Spans{}
				}
				r.traces[id][span.GetName()] = span
			}
		}
	}
	return &collectorpb.ExportTraceServiceResponse{}, nil
}

// Text is all that has arrived, as JSON.
func (r *Receiver) Text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

// Find is the trace for which good holds, and its id; nil while there is none.
func (r *Receiver) Find(good func(Spans) bool) (trace.TraceID, Spans) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, spans := range r.traces {
		if good(spans) {
			return id, maps.Clone(spans)
		}
	}
	return trace.TraceID{}, nil
}

// Attribute is a text that is noted on one of the spans, empty when it is not.
func (s Spans) Attribute(span, key string) string {
	for _, a := range s[span].GetAttributes() {
		if a.GetKey() == key {
			return a.GetValue().GetStringValue()
		}
	}
	return ""
}

// Within are the names of the spans whose parent is one of the spans, in order.
func (s Spans) Within(parent string) []string {
	var names []string
	for name, span := range s {
		if id := s[parent].GetSpanId(); len(id) > 0 && bytes.Equal(span.GetParentSpanId(), id) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
