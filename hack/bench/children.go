package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/go-logr/logr"

	"github.com/tegata-dev/tegata/internal/httpserver"
	"github.com/tegata-dev/tegata/internal/listener/login"
)

// What this program is as a child of its own. The arguments are internal.
const (
	childCommand = "child"
	// childLogin is the whole path of a login but for the password hash.
	childLogin = "login"
	// childBare is net/http that reads a request and answers as many bytes.
	childBare = "bare"

	// childPassword is the password of every user of childLogin. It guards nothing.
	childPassword = "correct horse battery"
	childUsers    = 1000
	// childResponseTime is when childLogin sends denials: as soon as the API permits.
	childResponseTime = 100 * time.Millisecond
	maxConnections    = 4096
)

func runChild(ctx context.Context, args []string) error {
	if len(args) != 1 {
		return errors.New("child: want one argument")
	}
	if address, clients, ok := isFlood(args[0]); ok {
		return runFlood(ctx, address, clients)
	}
	if kind, dir, ok := isHistory(args[0]); ok {
		return runHistory(ctx, kind, dir)
	}
	var handler http.Handler
	switch args[0] {
	case childLogin:
		var err error
		if handler, err = unhashedHandler(ctx); err != nil {
			return err
		}
	case childBare:
		handler = bareHandler()
	case childAlwaysOK:
		return runAlwaysOK(ctx)
	case childFewSessions:
		return runSessions(ctx, fewSessions)
	case childManySessions:
		return runSessions(ctx, manySessions)
	case childTrivial:
		return runTrivial(ctx)
	case childFewForward:
		return runForwardAuth(ctx, fewSessions)
	case childManyForward:
		return runForwardAuth(ctx, manySessions)
	case childRADIUS:
		return runRADIUS(ctx)
	case childDatagrams:
		return runDatagrams(ctx)
	default:
		return fmt.Errorf("child: no such kind %q", args[0])
	}
	return serveUntilEOF(ctx, handler)
}

func unhashedHandler(ctx context.Context) (http.Handler, error) {
	_, hash, err := newCredential()
	if err != nil {
		return nil, err
	}
	relay, err := memoryRelay(childUsers, childResponseTime, hash)
	if err != nil {
		return nil, err
	}
	d, err := relay.read(ctx)
	if err != nil {
		return nil, err
	}
	service, _ := newService(d, unhashed{childPassword}, newLogger().WithName("login"))
	return login.NewHandler(service), nil // it ends with the process
}

func bareHandler() http.Handler {
	// As long as the reply to an admitted login.
	const body = `{"slot":"pc","enrolled":false,"passwordSaving":{"login":false,"windows":false},"expireTime":"2026-01-01T00:00:00Z","correlationID":"ABCDEFGHIJKLMNOPQRSTUVWXYZ"}`
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, body)
	})
}

// serveUntilEOF tells the address on standard output and serves until standard input ends, as it does
// when the parent is gone.
func serveUntilEOF(ctx context.Context, h http.Handler) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	go func() {
		defer cancel()
		_, _ = io.Copy(io.Discard, os.Stdin)
	}()
	return httpserver.Serve(ctx, l, httpserver.Options{Name: "logins", Handler: h, MaxConnections: maxConnections, Log: logr.Discard()})
}
