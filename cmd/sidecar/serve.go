package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/controller-runtime/pkg/certwatcher"

	"github.com/tegata-dev/tegata/internal/httpserver"
	"github.com/tegata-dev/tegata/internal/listener/forwardauth"
	"github.com/tegata-dev/tegata/internal/listener/login"
)

// serveListeners serves those that are asked for, until ctx ends or one fails.
func serveListeners(ctx context.Context, o *options, p *parts, registry prometheus.Registerer, log logr.Logger) error {
	s, proxies := p.service, trustedProxies(p.users)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return p.gateways.serve(ctx, o, s) })
	group.Go(func() error {
		return serveLogins(ctx, o, p.tracer.HTTP(login.ListenerName, proxies, login.NewHandler(s)), log)
	})
	if o.forwardAuthAddress != "" {
		group.Go(func() error {
			h := forwardauth.NewHandler(s, forwardauth.Options{
				CertificateHeader: o.forwardAuthCertificateHeader, MaxWaiting: o.forwardAuthWaiting(), Metrics: forwardauth.NewMetrics(registry),
			})
			return serveForwardAuth(ctx, o, p.tracer.HTTP(forwardauth.ListenerName, proxies, h), log)
		})
	}
	if o.extAuthzAddress != "" {
		group.Go(func() error { return serveExtAuthz(ctx, o, s, p.keeper, p.tracer, registry, log) })
	}
	return group.Wait()
}

func serveLogins(ctx context.Context, o *options, h http.Handler, log logr.Logger) error {
	s := httpserver.Options{Name: "logins", Handler: h, MaxConnections: o.maxConnections, Log: log}
	return serveHTTP(ctx, o, o.loginAddress, s, o.askForCertificates)
}

// serveHTTP serves one listener, with TLS when there is a certificate, adjusted.
func serveHTTP(ctx context.Context, o *options, address string, s httpserver.Options, adjusts ...func(*tls.Config) error) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("listen for %s: %w", s.Name, err)
	}
	if s.TLS, err = tlsConfig(ctx, o, s.Log); err != nil {
		return errors.Join(err, l.Close())
	}
	if s.TLS != nil {
		for _, adjust := range adjusts {
			if err := adjust(s.TLS); err != nil {
				return errors.Join(err, l.Close())
			}
		}
	}
	s.Log.Info("Listening for "+s.Name, "address", l.Addr().String(), "tls", s.TLS != nil)
	return httpserver.Serve(ctx, l, s)
}

// tlsConfig reads the certificate, and again whenever it changes; nil without one.
func tlsConfig(ctx context.Context, o *options, log logr.Logger) (*tls.Config, error) {
	if o.tlsCert == "" {
		return nil, nil
	}
	watcher, err := certwatcher.New(o.tlsCert, o.tlsKey)
	if err != nil {
		return nil, fmt.Errorf("read TLS certificate: %w", err)
	}
	go func() {
		if err := watcher.Start(ctx); err != nil && ctx.Err() == nil {
			log.Error(err, "TLS certificate is not watched any more")
		}
	}()
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: watcher.GetCertificate}, nil
}

// serveProbes serves health, readiness and metrics.
func serveProbes(ctx context.Context, o *options, registry *prometheus.Registry, ready <-chan struct{}, lease freshness, log logr.Logger) error {
	if o.probeAddress == "0" {
		return nil
	}
	server := &http.Server{
		Addr: o.probeAddress, Handler: probes(registry, ready, lease), ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, MaxHeaderBytes: 16 << 10,
		BaseContext: func(net.Listener) context.Context { return ctx },
		ErrorLog:    slog.NewLogLogger(logr.ToSlogHandler(log.WithName("probes")), slog.LevelInfo),
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	log.Info("Serving probes and metrics", "address", o.probeAddress)
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve probes: %w", err)
	}
	return nil
}

// freshness says whether the sidecar may admit anybody; *liveness.Keeper does.
type freshness interface{ Fresh() bool }

// probes answers that a sidecar is ready once it has read everything and while its Lease holds. That
// outlasts the API server by the relay's maxStaleness, because bound devices still log in.
func probes(registry *prometheus.Registry, ready <-chan struct{}, lease freshness) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		select {
		case <-ready:
		default:
			http.Error(w, "users are not read yet", http.StatusServiceUnavailable)
			return
		}
		if !lease.Fresh() {
			http.Error(w, "the Lease does not hold: nobody is admitted", http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ok\n"))
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	return mux
}
