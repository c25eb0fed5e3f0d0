package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/tegata-dev/tegata/internal/decision"
	"github.com/tegata-dev/tegata/internal/listenertest"
)

// extAuthz serves until the test ends.
func extAuthz(t *testing.T, o *options, lease fresh) {
	t.Helper()
	o.maxConnections = 16
	start(t, func(ctx context.Context) error {
		return serveExtAuthz(ctx, o, listenertest.Denying(decision.UnknownUser), lease, nil, prometheus.NewRegistry(), logr.Discard())
	})
}

func dialGRPC(t *testing.T, address string, c credentials.TransportCredentials) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(c))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func TestExtAuthzIsServed(t *testing.T) {
	for name, tc := range map[string]struct {
		lease fresh
		want  healthpb.HealthCheckResponse_ServingStatus
	}{
		"ready":           {true, healthpb.HealthCheckResponse_SERVING},
		"without a Lease": {false, healthpb.HealthCheckResponse_NOT_SERVING},
	} {
		t.Run(name, func(t *testing.T) {
			address := freeAddress(t)
			extAuthz(t, &options{extAuthzAddress: address}, tc.lease)
			conn := dialGRPC(t, address, insecure.NewCredentials())
			health, err := healthpb.NewHealthClient(conn).Check(t.Context(), &healthpb.HealthCheckRequest{}, grpc.WaitForReady(true))
			if err != nil || health.GetStatus() != tc.want {
				t.Errorf("health is %s, %v, want %s", health.GetStatus(), err, tc.want)
			}
			response, err := authv3.NewAuthorizationClient(conn).Check(t.Context(), &authv3.CheckRequest{})
			if err != nil || response.GetDeniedResponse().GetStatus().GetCode() != 401 {
				t.Errorf("answered %v, %v", response, err)
			}
		})
	}
}

func TestReplacedCertificateIsServedByGRPC(t *testing.T) {
	dir, address := t.TempDir(), freeAddress(t)
	cert, key := certificateFiles(t, dir, "old")
	extAuthz(t, &options{extAuthzAddress: address, tlsCert: cert, tlsKey: key}, true)
	for _, name := range []string{"old", "new"} {
		if name == "new" {
			certificateFiles(t, dir, "new")
		}
		pem, err := os.ReadFile(cert)
		if err != nil {
			t.Fatal(err)
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(pem)
		eventually(t, func() error {
			conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12})))
			if err != nil {
				return err
			}
			defer conn.Close() //nolint:errcheck // it was only to see the certificate
			if _, err := healthpb.NewHealthClient(conn).Check(t.Context(), &healthpb.HealthCheckRequest{}); err != nil {
				return fmt.Errorf("the certificate %s: %w", name, err)
			}
			return nil
		})
	}
}

func TestExtAuthzDoesNotStart(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close() //nolint:errcheck // the test is over
	for name, tc := range map[string]struct {
		options options
		want    string
	}{
		"address in use":      {options{extAuthzAddress: taken.Addr().String()}, "listen for ext_authz: listen tcp " + taken.Addr().String() + ": bind: address already in use"},
		"certificate missing": {options{extAuthzAddress: "127.0.0.1:0", tlsCert: "/none", tlsKey: "/none"}, "read TLS certificate: open /none: no such file or directory"},
	} {
		t.Run(name, func(t *testing.T) {
			err := serveExtAuthz(t.Context(), &tc.options, listenertest.Admitting(), fresh(true), nil, prometheus.NewRegistry(), logr.Discard())
			if err == nil || err.Error() != tc.want {
				t.Errorf("got %v, want %s", err, tc.want)
			}
		})
	}
}
