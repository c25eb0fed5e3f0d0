package tracing

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/tegata-dev/tegata/internal/logflood"
)

// shutdownTime bounds how long the last spans are waited for.
const shutdownTime = 3 * time.Second

// Options of a Tracer.
type Options struct {
	// Endpoint is http://HOST:PORT or https://HOST:PORT, which speaks OTLP by gRPC. Everything else that there is to
	// say of the exporter, the sampler and the resource, OTEL_ variables of the environment do.
	Endpoint string
	// Identities has spans tell who logs in, and from where.
	Identities bool
	// Service, Version, Instance, Namespace and Server are what the process is.
	Service, Version, Instance, Namespace, Server string
	Log                                           logr.Logger
}

var errEndpoint = errors.New("must be http://HOST:PORT or https://HOST:PORT")

// ValidateEndpoint says whether spans can be sent there.
func ValidateEndpoint(endpoint string) error {
	u, err := url.Parse(endpoint)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" || u.Port() == "" ||
		u.User != nil || (u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.Fragment != "" {
		return errEndpoint
	}
	return nil
}

// New makes a Tracer, the nil one without an endpoint. It connects in the background: what cannot be sent is dropped,
// and no login waits for it.
func New(ctx context.Context, o Options) (*Tracer, error) {
	if o.Endpoint == "" {
		return nil, nil
	}
	if err := ValidateEndpoint(o.Endpoint); err != nil {
		return nil, fmt.Errorf("trace endpoint: %w", err)
	}
	// These are the process's, and whatever else used them would be told of here.
	line := logflood.New(o.Log, "Traces are not sent")
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { line.Info("problem", err.Error()) }))
	otel.SetLogger(o.Log.V(1))
	exporter, err := otlptracegrpc.New(ctx, otlptracegrpc.WithEndpointURL(o.Endpoint))
	if err != nil {
		return nil, fmt.Errorf("make trace exporter: %w", err)
	}
	described, err := describe(ctx, &o)
	if err != nil {
		return nil, err
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(described))
	return &Tracer{
		tracer: provider.Tracer("github.com/tegata-dev/tegata"), identities: o.Identities,
		// The provider gives up in time, and leaves the exporter trying to send: that ends with the exporter.
		shutdown: func(ctx context.Context) error {
			return errors.Join(provider.Shutdown(ctx), exporter.Shutdown(ctx))
		},
	}, nil
}

// describe is what the spans are said to come from. OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME go before.
func describe(ctx context.Context, o *Options) (*resource.Resource, error) {
	own := []attribute.KeyValue{
		attribute.String("service.name", o.Service), attribute.String("service.version", o.Version),
		attribute.String("service.instance.id", o.Instance), attribute.String("k8s.namespace.name", o.Namespace),
		attribute.String("tegata.server", o.Server),
	}
	r, err := resource.New(ctx, resource.WithAttributes(own...), resource.WithTelemetrySDK(), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("describe what makes traces: %w", err)
	}
	return r, nil
}

// Close sends what was not sent yet, for a few seconds.
func (t *Tracer) Close() {
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTime)
	defer cancel()
	if err := t.shutdown(ctx); err != nil {
		otel.Handle(err)
	}
}
