package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tegata-dev/tegata/internal/authn"
	"github.com/tegata-dev/tegata/internal/httpserver"
	"github.com/tegata-dev/tegata/internal/listener/forwardauth"
)

// What this program is as a child that a gateway's part of the bench asks over HTTP. Those with sessions tell a
// second address, at which their tokens can be had.
const (
	childTrivial     = "trivial"
	childFewForward  = "few-forward"
	childManyForward = "many-forward"
)

// runTrivial is net/http as it comes, with the least that a handler can do that answers as many bytes.
func runTrivial(ctx context.Context) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	ctx, cancel := untilEOF(ctx)
	defer cancel()
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		header := w.Header()
		header.Set("Cache-Control", "no-store")
		header.Set("X-Tegata-User", "user-000001")
		header.Set("X-Tegata-Slot", "pc")
		header.Set("X-Tegata-Session", "01K9ZZZZZZ0000000000000000")
	})}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// runForwardAuth serves forward auth as the sidecar does, for a relay of so many users, each with a session.
func runForwardAuth(ctx context.Context, users int) error {
	return serveSessions(ctx, users, func(ctx context.Context, l net.Listener, service *authn.Service) error {
		return httpserver.Serve(ctx, l, httpserver.Options{
			Name: "forward auth", MaxConnections: maxConnections, MaxHeaderBytes: 64 << 10, Log: logr.Discard(),
			Handler: forwardauth.NewHandler(service, forwardauth.Options{
				MaxWaiting: maxConnections / 2, Metrics: forwardauth.NewMetrics(prometheus.NewRegistry()),
			}),
		})
	})
}
