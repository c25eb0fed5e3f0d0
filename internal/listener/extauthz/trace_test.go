package extauthz

import (
	"context"
	"net/netip"
	"testing"

	"github.com/go-logr/logr"
	"google.golang.org/grpc/metadata"

	"github.com/tegata-dev/tegata/internal/tracing"
	"github.com/tegata-dev/tegata/internal/tracing/tracingtest"
)

// TestTraceIsEnvoys: the trace of a check is that of Envoy's call, if Envoy is trusted, and never the client's.
func TestTraceIsEnvoys(t *testing.T) {
	const envoys, clients = "0af7651916cd43dd8448eb211c80319c", "11111111111111111111111111111111"
	parent := func(trace string) string { return "00-" + trace + "-b7ad6b7169203331-01" }
	for name, tc := range map[string]struct {
		trusted netip.Prefix
		told    []string
		want    string
	}{
		"Envoy tells":                       {netip.MustParsePrefix("127.0.0.0/8"), []string{parent(envoys)}, envoys},
		"Envoy tells nothing":               {netip.MustParsePrefix("127.0.0.0/8"), nil, ""},
		"the caller is nobody who is known": {netip.MustParsePrefix("192.0.2.0/24"), []string{parent(envoys)}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			receiver := tracingtest.Start(t)
			tracer, err := tracing.New(t.Context(), tracing.Options{Endpoint: receiver.URL, Log: logr.Discard()})
			if err != nil {
				t.Fatal(err)
			}
			service := newFakeService()
			service.policy.TrustedProxies = []netip.Prefix{tc.trusted}
			s := serve(t, Options{Service: service, Tracer: tracer})
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			for _, each := range tc.told {
				ctx = metadata.AppendToOutgoingContext(ctx, "traceparent", each)
			}
			headers := bearing(goodToken)
			headers["traceparent"] = parent(clients)
			if _, err := s.client().Check(ctx, fromEnvoy(headers)); err != nil {
				t.Fatal(err)
			}
			s.stop()
			if err := <-s.done; err != nil {
				t.Fatal(err)
			}
			tracer.Close()
			id, spans := receiver.Find(func(s tracingtest.Spans) bool { return s["listener extauthz"] != nil })
			if spans == nil {
				t.Fatal("the check has no trace")
			}
			if got := id.String(); got == clients || (got == envoys) != (tc.want == envoys) {
				t.Errorf("its trace is %s, want %q", got, tc.want)
			}
		})
	}
}
