package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"

	"github.com/tegata-dev/tegata/internal/authn"
	"github.com/tegata-dev/tegata/internal/directory"
	"github.com/tegata-dev/tegata/internal/listener/radius"
	"github.com/tegata-dev/tegata/internal/tracing"
)

// radiusOptions are the flags of the RADIUS listener, which is off without an address.
type radiusOptions struct {
	address           string
	accountingAddress string
	tlsAddress        string
	clientCA          string
	readers           int
	maxRequests       int
	maxConnections    int
}

func (o *radiusOptions) addFlags(fs *pflag.FlagSet) {
	fs.StringVar(&o.address, "radius-address", "", "UDP address at which RADIUS logins are answered, such as :1812; empty for none")
	fs.StringVar(&o.accountingAddress, "radius-accounting-address", "", "UDP address at which RADIUS accounting is taken, such as :1813; empty for none")
	fs.StringVar(&o.tlsAddress, "radsec-address", "", "TCP address at which RADIUS over TLS is served, such as :2083, with --tls-cert and --radsec-client-ca; empty for none")
	fs.StringVar(&o.clientCA, "radsec-client-ca", "", "path of the PEM certificates of the authorities that issue the certificates of RadSec clients")
	fs.IntVar(&o.readers, "radius-readers", max(2, runtime.GOMAXPROCS(0)), "how many RADIUS packets of one UDP address are read at a time")
	fs.IntVar(&o.maxRequests, "radius-max-requests", 4096, "how many RADIUS logins are under way at a time; further ones are dropped, and sent again by their gateways")
	fs.IntVar(&o.maxConnections, "radsec-max-connections", 256, "how many RadSec connections of gateways are served at a time")
}

func (o *radiusOptions) validate(tlsCert string) error {
	if o.readers < 1 || o.maxRequests < 1 || o.maxConnections < 1 {
		return errors.New("--radius-readers, --radius-max-requests and --radsec-max-connections must be at least 1")
	}
	for _, flag := range []struct{ name, address string }{
		{"--radius-address", o.address}, {"--radius-accounting-address", o.accountingAddress}, {"--radsec-address", o.tlsAddress},
	} {
		if flag.address == "" {
			continue
		}
		if _, err := hostOf(flag.address); err != nil {
			return fmt.Errorf("%s: %w", flag.name, err)
		}
	}
	switch {
	case (o.tlsAddress == "") != (o.clientCA == ""):
		return errors.New("--radsec-address and --radsec-client-ca go together")
	case o.tlsAddress != "" && tlsCert == "":
		return errors.New("--radsec-address needs --tls-cert and --tls-key")
	case o.clientCA != "":
		_, err := readAuthorities(o.clientCA)
		return err
	}
	return nil
}

func readAuthorities(path string) (*x509.CertPool, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("--radsec-client-ca: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(content) {
		return nil, fmt.Errorf("--radsec-client-ca: %s holds no PEM certificate", path)
	}
	return pool, nil
}

// gateways are the RADIUS listener, and the connections that its clients keep. The connections are there from the
// beginning, because they observe the sessions.
type gateways struct {
	connections *radius.Connections
	directory   *directory.Directory
	metrics     *radius.Metrics
	tracer      *tracing.Tracer
	log         logr.Logger
}

func newGateways(d *directory.Directory, tracer *tracing.Tracer, r prometheus.Registerer, log logr.Logger) *gateways {
	g := &gateways{directory: d, tracer: tracer, metrics: radius.NewMetrics(r), log: log.WithName(radius.ListenerName)}
	g.connections = radius.NewConnections(radius.ConnectionsOptions{Clients: d.RADIUS, Metrics: g.metrics, Log: g.log})
	return g
}

// serve answers at every address that is given, until ctx ends.
func (g *gateways) serve(ctx context.Context, o *options, service *authn.Service) error {
	h := radius.NewHandler(radius.Options{
		Service: service, Clients: g.directory.RADIUS, Connections: g.connections, Metrics: g.metrics, Tracer: g.tracer, Log: g.log,
		MaxRequests: o.radius.maxRequests,
	})
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return g.serveUDP(ctx, h, o.radius.address, radius.Authentication, o.radius.readers) })
	group.Go(func() error {
		return g.serveUDP(ctx, h, o.radius.accountingAddress, radius.Accounting, o.radius.readers)
	})
	group.Go(func() error { return g.serveTLS(ctx, h, o) })
	return group.Wait()
}

func (g *gateways) serveUDP(ctx context.Context, h *radius.Handler, address string, port radius.Port, readers int) error {
	if address == "" {
		return nil
	}
	at, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		return fmt.Errorf("listen for RADIUS: %w", err)
	}
	conn, err := net.ListenUDP("udp", at)
	if err != nil {
		return fmt.Errorf("listen for RADIUS: %w", err)
	}
	g.log.Info("Listening for RADIUS", "address", conn.LocalAddr().String(), "accounting", port == radius.Accounting)
	return h.ServeUDP(ctx, conn, port, readers)
}

func (g *gateways) serveTLS(ctx context.Context, h *radius.Handler, o *options) error {
	if o.radius.tlsAddress == "" {
		return nil
	}
	authorities, err := readAuthorities(o.radius.clientCA)
	if err != nil {
		return err
	}
	config, err := tlsConfig(ctx, o, g.log)
	if err != nil {
		return err
	}
	config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, authorities
	l, err := net.Listen("tcp", o.radius.tlsAddress)
	if err != nil {
		return fmt.Errorf("listen for RadSec: %w", err)
	}
	g.log.Info("Listening for RadSec", "address", l.Addr().String())
	return h.ServeRadSec(ctx, l, config, o.radius.maxConnections)
}
