package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/grpclog"

	"github.com/tegata-dev/tegata/internal/listener/extauthz"
	"github.com/tegata-dev/tegata/internal/tracing"
)

// serveExtAuthz answers Envoy until ctx ends. It is called once the users are read, so that the Lease says whether
// the sidecar is ready.
func serveExtAuthz(ctx context.Context, o *options, s extauthz.Service, lease freshness, tracer *tracing.Tracer, registry prometheus.Registerer, log logr.Logger) error {
	l, err := net.Listen("tcp", o.extAuthzAddress)
	if err != nil {
		return fmt.Errorf("listen for ext_authz: %w", err)
	}
	config, err := tlsConfig(ctx, o, log)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	log.Info("Listening for ext_authz", "address", l.Addr().String(), "tls", config != nil)
	return extauthz.Serve(ctx, l, extauthz.Options{
		Service: s, TLS: config, MaxWaiting: o.maxConnections, Ready: lease.Fresh,
		Metrics: extauthz.NewMetrics(registry), Tracer: tracer, Log: log.WithName("extauthz"),
	})
}

// newGRPCLog has what gRPC complains about, of connections that end in the middle mostly, in the log at the level
// debug. It would write to standard error in its own way.
func newGRPCLog(log logr.Logger) grpclog.LoggerV2 {
	return grpclog.NewLoggerV2(io.Discard, io.Discard, debugLines{log.WithName("grpc")})
}

type debugLines struct{ log logr.Logger }

func (d debugLines) Write(p []byte) (int, error) {
	d.log.V(1).Info("gRPC", "problem", strings.TrimSpace(string(p)))
	return len(p), nil
}
