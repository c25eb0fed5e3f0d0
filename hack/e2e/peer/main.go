// Command peer is what the end-to-end tests have in pods around Tegata: a relay, an application behind a gateway, and
// people who log in without pause. It owns no check: the tests read what it prints. It must not know anything of
// Tegata but what a relay's maker reads in docs/login.md.
//
//	peer relay ADDRESS SIDECAR   serves ADDRESS, and asks SIDECAR about each login
//	peer app ADDRESS             answers with the headers that reach it
//	peer wait                    does nothing, so that the tests can run programs beside it
//	peer enroll URL ...          one login of each user
//	peer load URL ...            logins of all users, in turn, until it is stopped
//	peer abort PID               has a program of Go that it shares processes with end at once, as at a fault of its own
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

// patience is how long an answer may take: above the 30 s of docs/login.md.
const patience = 45 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "peer:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New("relay, app, wait, enroll, load or abort?")
	}
	switch name, rest := args[0], args[1:]; {
	case name == "relay" && len(rest) == 2:
		return relay(ctx, rest[0], rest[1])
	case name == "app" && len(rest) == 1:
		return serve(ctx, rest[0], http.HandlerFunc(app))
	case name == "wait" && len(rest) == 0:
		<-ctx.Done()
		return nil
	case name == "abort" && len(rest) == 1:
		pid, err := strconv.Atoi(rest[0])
		if err != nil || pid <= 0 {
			return fmt.Errorf("not a process: %q", rest[0])
		}
		return syscall.Kill(pid, syscall.SIGABRT)
	case name == "enroll" || name == "load":
		return logins(ctx, name == "load", rest)
	}
	return fmt.Errorf("not understood: %q", args)
}

// relay passes logins on to its sidecar, and tells it who asks.
func relay(ctx context.Context, address, sidecar string) error {
	target, err := url.Parse(sidecar)
	if err != nil {
		return err
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.SetXForwarded()
		},
		Transport: &http.Transport{MaxIdleConnsPerHost: 256, ResponseHeaderTimeout: patience},
	}
	return serve(ctx, address, proxy)
}

// app is an application behind a gateway.
func app(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(r.Header) // whoever asked has gone
}

// serve answers until it is told to stop, and then what is under way.
func serve(ctx context.Context, address string, handler http.Handler) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: patience}
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		return server.Shutdown(limited)
	}
}
