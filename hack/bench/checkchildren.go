package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"github.com/tegata-dev/tegata/internal/authn"
	"github.com/tegata-dev/tegata/internal/listener/extauthz"
)

// What this program is as a child that Envoy's part of the bench asks. Each tells its address on standard output,
// and those with sessions a second one, at which their tokens can be had.
const (
	childAlwaysOK     = "always-ok"
	childFewSessions  = "few-sessions"
	childManySessions = "many-sessions"
)

// alwaysOK is the least that a gRPC server with the published types can do.
type alwaysOK struct {
	authv3.UnimplementedAuthorizationServer
}

func (alwaysOK) Check(context.Context, *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	return &authv3.CheckResponse{HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: &authv3.OkHttpResponse{}}}, nil
}

func runAlwaysOK(ctx context.Context) error {
	server := grpc.NewServer()
	authv3.RegisterAuthorizationServer(server, alwaysOK{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	ctx, cancel := untilEOF(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, server.Stop)
	defer stop()
	return server.Serve(l)
}

// untilEOF ends when standard input does, as it does when the parent is gone.
func untilEOF(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer cancel()
		_, _ = io.Copy(io.Discard, os.Stdin)
	}()
	return ctx, cancel
}

// runSessions serves ext_authz for a relay of so many users, each with a session.
func runSessions(ctx context.Context, users int) error {
	return serveSessions(ctx, users, func(ctx context.Context, l net.Listener, service *authn.Service) error {
		return extauthz.Serve(ctx, l, extauthz.Options{
			Service: service, MaxWaiting: maxConnections, Ready: func() bool { return true },
			Metrics: extauthz.NewMetrics(prometheus.NewRegistry()), Log: logr.Discard(),
		})
	})
}

// serviceWithSessions logs every user in.
func serviceWithSessions(ctx context.Context, users int) (*authn.Service, []string, error) {
	_, hash, err := newCredential()
	if err != nil {
		return nil, nil, err
	}
	relay, err := memoryRelay(users, childResponseTime, hash)
	if err != nil {
		return nil, nil, err
	}
	relay.server.Spec.TrustedProxies = append(relay.server.Spec.TrustedProxies, "127.0.0.0/8")
	d, err := relay.read(ctx)
	if err != nil {
		return nil, nil, err
	}
	service, _ := newService(d, unhashed{childPassword}, logr.Discard()) // it ends with the process
	tokens, err := logInAll(ctx, service, users)
	return service, tokens, err
}
