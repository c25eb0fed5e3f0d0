package tracing

import (
	"net/http"
	"net/netip"

	"github.com/tegata-dev/tegata/internal/clientaddr"
)

// HTTP begins a span for each request to a listener. The traceparent of a trusted proxy is believed. Without a Tracer
// it is the handler itself.
func (t *Tracer) HTTP(listener string, proxies func() []netip.Prefix, h http.Handler) http.Handler {
	if t == nil {
		return h
	}
	name := SpanName(listener)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var caller Carrier
		if clientaddr.Trusted(proxies(), clientaddr.Peer(r.RemoteAddr)) {
			caller = Values(r.Header.Values)
		}
		ctx, span := t.Listen(r.Context(), name, caller)
		defer span.End()
		h.ServeHTTP(w, r.WithContext(ctx))
	})
}

// SpanName is what the span of a listener is called. What was asked for is not in it: callers could make up names.
func SpanName(listener string) string { return "listener " + listener }

// Values is a Carrier of headers that may be repeated. Of one that is, nothing is believed: a proxy that adds its own
// leaves the client's before it.
type Values func(name string) []string

// Get is the value of a header that is there once.
func (v Values) Get(name string) string {
	if values := v(name); len(values) == 1 {
		return values[0]
	}
	return ""
}
