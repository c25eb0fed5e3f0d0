// Package httpserver is what all HTTP listeners share: connections and requests that are bounded in number, size
// and time, and an end that answers what is under way.
//
// It must not know what is asked: that is the listeners'. Each has a server of its own, so that a flood on one
// takes nothing from another.
package httpserver

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/go-logr/logr"

	"github.com/tegata-dev/tegata/internal/httpreply"
	"github.com/tegata-dev/tegata/internal/room"
)

// Timeouts bound a connection. Zero fields have defaults.
type Timeouts struct {
	// ReadHeader and Read bound the time that a request may take to arrive: 5 s and 10 s.
	ReadHeader, Read time.Duration
	// Write bounds the time from a request's header to the end of its answer: 40 s. A denial is held back
	// for at most 10 s beyond the decision, which takes at most that for a hash and 5 s for an enrolment.
	Write time.Duration
	// Idle bounds the time between requests: 90 s.
	Idle time.Duration
	// Grace is how long a connection without a request keeps its place when others need it: 1 s.
	Grace time.Duration
	// Drain bounds the time that requests under way have when the server stops: 25 s.
	Drain time.Duration
}

func (t Timeouts) withDefaults() Timeouts {
	return Timeouts{
		ReadHeader: cmp.Or(t.ReadHeader, 5*time.Second),
		Read:       cmp.Or(t.Read, 10*time.Second),
		Write:      cmp.Or(t.Write, 40*time.Second),
		Idle:       cmp.Or(t.Idle, 90*time.Second),
		Grace:      cmp.Or(t.Grace, time.Second),
		Drain:      cmp.Or(t.Drain, 25*time.Second),
	}
}

const (
	// defaultHeaderBytes is what net/http adds 4 KiB to.
	defaultHeaderBytes = 16 << 10
	// maxStreamBuffer bounds what a peer may park on one HTTP/2 stream. Bodies are smaller.
	maxStreamBuffer = 16 << 10
	// maxStreams bounds the requests of one HTTP/2 connection.
	maxStreams = 100
)

// Options shape a server.
type Options struct {
	// Name says in logs and errors what is served, such as "logins".
	Name    string
	Handler http.Handler
	// TLS serves HTTPS; nil serves plain HTTP.
	TLS *tls.Config
	// MaxConnections bounds how many connections are served at a time, and how many requests, of which
	// HTTP/2 may carry several on one connection. Further connections take the place of those that have
	// waited longest for a request; further requests are answered 503.
	MaxConnections int
	// MaxHeaderBytes bounds a request's header: 16 KiB when zero. net/http adds 4 KiB.
	MaxHeaderBytes int
	Timeouts       Timeouts
	Log            logr.Logger
}

// Serve serves until ctx ends, then lets requests under way finish.
func Serve(ctx context.Context, l net.Listener, o Options) error {
	o.Timeouts = o.Timeouts.withDefaults()
	server := newServer(o)
	l = room.Listen(l, o.MaxConnections, o.Timeouts.Grace)
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
		return errors.Join(fmt.Errorf("serve %s: %w", o.Name, err), server.Close())
	case <-ctx.Done():
	}
	o.Log.Info("Draining", "what", o.Name)
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), o.Timeouts.Drain)
	defer cancel()
	if err := server.Shutdown(drain); err != nil {
		return errors.Join(fmt.Errorf("drain %s: %w", o.Name, err), server.Close())
	}
	return nil
}

func newServer(o Options) *http.Server {
	return &http.Server{
		Handler:           limitRequests(watchBodies(o.Handler), o.MaxConnections),
		ReadHeaderTimeout: o.Timeouts.ReadHeader,
		ReadTimeout:       o.Timeouts.Read,
		WriteTimeout:      o.Timeouts.Write,
		IdleTimeout:       o.Timeouts.Idle,
		MaxHeaderBytes:    cmp.Or(o.MaxHeaderBytes, defaultHeaderBytes),
		TLSConfig:         o.TLS,
		ConnState:         observe,
		ConnContext:       remember,
		ErrorLog:          slog.NewLogLogger(newConnectionLog(o.Log), slog.LevelInfo),
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: maxStreams,
			// Bodies are small; the defaults would let a peer park 1 MiB on every connection.
			MaxReceiveBufferPerConnection: 64 << 10,
			MaxReceiveBufferPerStream:     maxStreamBuffer,
		},
	}
}

// limitRequests answers 503, before anything is looked at, when too many requests are under way.
func limitRequests(next http.Handler, limit int) http.Handler {
	slots := make(chan struct{}, limit)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
			next.ServeHTTP(w, r)
		default:
			httpreply.Busy(w)
		}
	})
}
