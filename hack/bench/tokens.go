package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/tegata-dev/tegata/internal/authn"
	"github.com/tegata-dev/tegata/internal/collector"
)

// serveSessions has serve answer for a relay of so many users, each with a session. It tells two addresses on
// standard output: that of serve's listener, and one at which the tokens can be had.
func serveSessions(ctx context.Context, users int, serve func(context.Context, net.Listener, *authn.Service) error) error {
	collector.Pace(users) // as cmd/sidecar does
	service, tokens, err := serviceWithSessions(ctx, users)
	if err != nil {
		return err
	}
	checks, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	told, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return errors.Join(err, checks.Close())
	}
	fmt.Println(checks.Addr(), told.Addr())
	ctx, cancel := untilEOF(ctx)
	defer cancel()
	teller := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for i := range tokens {
			_, _ = fmt.Fprintln(w, tokens[i])
		}
		tokens = nil // they are no part of what is measured
	})}
	stop := context.AfterFunc(ctx, func() { _ = teller.Close() })
	defer stop()
	go func() { _ = teller.Serve(told) }()
	return serve(ctx, checks, service)
}

// requestsOf makes a request of each token that a child tells.
func requestsOf(ctx context.Context, address string, newRequest func(token string) ([]byte, error)) ([][]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address, http.NoBody)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	var all [][]byte
	lines := bufio.NewReader(response.Body)
	for {
		token, err := lines.ReadString('\n')
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		one, err := newRequest(strings.TrimSpace(token))
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
}
