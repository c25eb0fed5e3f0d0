package login

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/net/netutil"
)

// Bounds of a connection. A denial is held back for at most 10 s, an enrolment takes at most 5.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 10 * time.Second
	writeTimeout      = 40 * time.Second
	idleTimeout       = 90 * time.Second
	maxHeaderBytes    = 16 << 10
	drainTimeout      = 25 * time.Second
)

// ServerOptions shape a listener.
type ServerOptions struct {
	Handler http.Handler
	// TLS serves HTTPS; nil serves plain HTTP.
	TLS *tls.Config
	// MaxConnections bounds how many connections are served at a time; further ones wait to be accepted.
	MaxConnections int
	Log            logr.Logger
}

// Serve serves until ctx ends, then lets requests under way finish.
func Serve(ctx context.Context, l net.Listener, o ServerOptions) error {
	server := &http.Server{
		Handler:           http.MaxBytesHandler(o.Handler, 4*maxBodyBytes),
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		TLSConfig:         o.TLS,
		ErrorLog:          nil,
	}
	l = netutil.LimitListener(l, o.MaxConnections)
	failed := make(chan error, 1)
	go func() {
		if o.TLS != nil {
			failed <- server.ServeTLS(l, "", "")
			return
		}
		failed <- server.Serve(l)
	}()
	select {
	case err := <-failed:
		return fmt.Errorf("serve logins: %w", err)
	case <-ctx.Done():
	}
	o.Log.Info("Draining logins")
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	if err := server.Shutdown(drain); err != nil {
		return errors.Join(fmt.Errorf("drain logins: %w", err), server.Close())
	}
	return nil
}
