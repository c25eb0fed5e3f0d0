package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/go-logr/logr"
	"github.com/spf13/pflag"

	"github.com/tegata-dev/tegata/internal/directory"
	"github.com/tegata-dev/tegata/internal/tracing"
)

// traceOptions are the flags of traces, which are off without an endpoint.
type traceOptions struct {
	endpoint   string
	identities bool
}

func (o *traceOptions) addFlags(fs *pflag.FlagSet) {
	fs.StringVar(&o.endpoint, "trace-endpoint", "", "http://HOST:PORT or https://HOST:PORT to which traces of logins are sent by OTLP over gRPC; empty: none are made. OTEL_ variables of the environment set the rest")
	fs.BoolVar(&o.identities, "trace-identities", false, "have traces tell the names of users and their addresses")
}

func (o *traceOptions) validate() error {
	if o.endpoint == "" {
		if o.identities {
			return errors.New("--trace-identities goes with --trace-endpoint")
		}
		return nil
	}
	if err := tracing.ValidateEndpoint(o.endpoint); err != nil {
		return fmt.Errorf("--trace-endpoint %w", err)
	}
	return nil
}

// newTracer makes the tracer, nil where no traces are made.
func newTracer(ctx context.Context, o *options, log logr.Logger) (*tracing.Tracer, error) {
	return tracing.New(ctx, tracing.Options{
		Endpoint: o.trace.endpoint, Identities: o.trace.identities, Service: "tegata-sidecar", Version: version,
		Instance: o.identity, Namespace: o.namespace, Server: o.server, Log: log.WithName("traces"),
	})
}

// trustedProxies are those of the relay, none while it is not known.
func trustedProxies(d *directory.Directory) func() []netip.Prefix {
	return func() []netip.Prefix {
		if p := d.Policy(); p != nil {
			return p.TrustedProxies
		}
		return nil
	}
}
