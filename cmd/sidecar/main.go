// Command sidecar is the auth sidecar of one relay: it answers logins and writes what happened to the
// users' status. This package only wires.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"github.com/tegata-dev/tegata/internal/authn"
	"github.com/tegata-dev/tegata/internal/binding"
	"github.com/tegata-dev/tegata/internal/directory"
	"github.com/tegata-dev/tegata/internal/endings"
	"github.com/tegata-dev/tegata/internal/failures"
	"github.com/tegata-dev/tegata/internal/liveness"
)

func main() {
	o, err := parseOptions(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "sidecar:", err)
		os.Exit(2)
	}
	if o.showVersion {
		fmt.Println(version)
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	log := newLogger(o)
	err = run(ctx, o, log)
	stop()
	if err != nil {
		log.Error(err, "Sidecar failed")
		os.Exit(1)
	}
}

// run starts, in this order: the Lease, which the manager must be able to see before the users are read;
// the watches; and, once everything has been read, the listener.
func run(ctx context.Context, o *options, log logr.Logger) error {
	api, err := newClient(o)
	if err != nil {
		return err
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))

	users := directory.New(o.server)
	var keeper *liveness.Keeper
	source := directory.NewSource(api, o.namespace, users, log.WithName("directory"), func(_ string, urgent bool) {
		if urgent {
			keeper.Hurry()
		}
	})
	keeper = newKeeper(o, api, users, source, log)
	recorder := failures.NewRecorder(api, o.namespace, failures.NewMetrics(registry), log.WithName("failures"))
	verifier := newVerifier(o, registry)
	gateways := newGateways(users, registry, log)
	ended := endings.New(api, o.namespace, log.WithName("sessions"))
	sessions := newSessions(o, users, ended, sessionLog{log.WithName("sessions")}, gateways.connections)
	service := authn.NewService(authn.Dependencies{
		Directory: users, Verifier: verifier, Liveness: keeper, Metrics: authn.NewMetrics(registry),
		Enroller: enroller{binding.Enroller{
			Client: api, Namespace: o.namespace, User: directory.DecisionUser, Stored: users.Advance,
		}},
		Sessions: sessions,
		Recorder: statusRecorder{recorder, o.identity}, Log: log.WithName("login"),
	})
	users.OnChange(service.ReviewUser)
	registerGauges(registry, users, keeper, sessions)

	// What the listener needs outlives it, so that logins under way at the end are answered and recorded.
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	wg.Go(func() { recorder.Run(background) })
	wg.Go(func() { ended.Run(background) })
	wg.Go(func() { service.RunSessions(background) })
	wg.Go(func() { gateways.connections.Run(background) })

	group, ctx := errgroup.WithContext(ctx)
	ready := make(chan struct{})
	group.Go(func() error { return serveProbes(ctx, o, registry, ready, keeper, log) })
	group.Go(func() error {
		if err := keeper.Claim(ctx); err != nil {
			return unlessStopping(ctx, err)
		}
		wg.Go(func() { source.Run(background) })
		if err := source.WaitForSync(ctx); err != nil {
			keeper.GiveUp()
			return unlessStopping(ctx, err)
		}
		keeper.Begin()
		wg.Go(func() { keeper.Run(background); keeper.GiveUp() })
		log.Info("Users are read; answering logins", "users", users.Users())
		close(ready)
		group.Go(func() error { return gateways.serve(ctx, o, service) })
		return serveListeners(ctx, o, service, registry, log)
	})
	return group.Wait()
}

// unlessStopping is the error, unless it is only the order to stop.
func unlessStopping(ctx context.Context, err error) error {
	if errors.Is(err, context.Cause(ctx)) {
		return nil
	}
	return err
}
