// Package tracing makes OpenTelemetry spans of logins, where that is asked for.
//
// It owns the exporter, what spans may tell, and whose traceparent is believed. It must not let a secret, a typed
// login name or the text of an error into a span, nor, unless asked to, a user's name or an address. The nil Tracer
// makes no spans and costs nothing.
package tracing

import (
	"context"
	"net/netip"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// Tracer makes spans. The nil Tracer makes none.
type Tracer struct {
	tracer trace.Tracer
	// identities says that spans may tell who logs in, and from where.
	identities bool
	shutdown   func(context.Context) error
}

// On says whether spans are made.
func (t *Tracer) On() bool { return t != nil }

// Span is one step of a request. The zero Span is none.
type Span struct {
	span       trace.Span
	identities bool
}

// Carrier holds what the caller of a listener tells of its own trace, by the name of a header.
type Carrier interface {
	Get(name string) string
}

// reader is a Carrier as OpenTelemetry wants it, which only reads.
type reader struct{ Carrier }

// Set does nothing.
func (reader) Set(string, string) {}

// Keys are not asked for when a parent is read.
func (reader) Keys() []string { return nil }

// Listen begins the span of what a listener was asked. Its parent is what the caller tells; nil where the caller is
// no trusted proxy: whoever may name a trace can have it recorded, and grow somebody else's.
func (t *Tracer) Listen(ctx context.Context, name string, caller Carrier) (context.Context, Span) {
	if t == nil {
		return ctx, Span{}
	}
	// Nothing that came in otherwise counts, such as what a library has put there.
	ctx = trace.ContextWithSpanContext(ctx, trace.SpanContext{})
	if caller != nil {
		ctx = propagation.TraceContext{}.Extract(ctx, reader{caller})
	}
	return t.start(ctx, name, trace.SpanKindServer)
}

// Start begins the span of a step, for further steps within it.
func (t *Tracer) Start(ctx context.Context, name string) (context.Context, Span) {
	if t == nil {
		return ctx, Span{}
	}
	return t.start(ctx, name, trace.SpanKindInternal)
}

// Step begins the span of a step that has none within it.
func (t *Tracer) Step(ctx context.Context, name string) Span {
	_, span := t.Start(ctx, name)
	return span
}

func (t *Tracer) start(ctx context.Context, name string, kind trace.SpanKind) (context.Context, Span) {
	ctx, span := t.tracer.Start(ctx, name, trace.WithSpanKind(kind))
	return ctx, Span{span, t.identities}
}

// On says whether what is set on the span is kept.
func (s Span) On() bool { return s.span != nil && s.span.IsRecording() }

// End ends the span.
func (s Span) End() {
	if s.span != nil {
		s.span.End()
	}
}

// Text notes a word from a closed set, or a correlation id.
func (s Span) Text(key, value string) {
	if s.On() && value != "" {
		s.span.SetAttributes(attribute.String("tegata."+key, value))
	}
}

// Flag notes what is so or not.
func (s Span) Flag(key string, value bool) {
	if s.On() {
		s.span.SetAttributes(attribute.Bool("tegata."+key, value))
	}
}

// Fail marks the span. Why is in the log: an error's text may name a user.
func (s Span) Fail() {
	if s.On() {
		s.span.SetStatus(codes.Error, "")
	}
}

// Identity notes the RelayUser's name and the person's address, where that is asked for. A name as it was typed must
// never be given: people type passwords into the wrong field.
func (s Span) Identity(user string, source netip.Addr) {
	if !s.identities || !s.On() {
		return
	}
	if user != "" {
		s.span.SetAttributes(attribute.String("user.name", user))
	}
	if source.IsValid() {
		s.span.SetAttributes(attribute.String("client.address", source.String()))
	}
}
