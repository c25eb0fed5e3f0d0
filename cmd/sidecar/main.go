// Command sidecar is the auth sidecar of one relay: it answers logins and writes what happened to the
// users' status. This package only wires.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
	_ "time/tzdata" // the image has no files of time zones, and TZ may name one

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/internal/authn"
	"github.com/tegata-dev/tegata/internal/binding"
	"github.com/tegata-dev/tegata/internal/certexpiry"
	"github.com/tegata-dev/tegata/internal/collector"
	"github.com/tegata-dev/tegata/internal/directory"
	"github.com/tegata-dev/tegata/internal/endings"
	"github.com/tegata-dev/tegata/internal/failures"
	"github.com/tegata-dev/tegata/internal/liveness"
	"github.com/tegata-dev/tegata/internal/tracing"
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

// parts are what the sidecar consists of, beside its listeners.
type parts struct {
	users    *directory.Directory
	source   *directory.Source
	keeper   *liveness.Keeper
	recorder *failures.Recorder
	endings  *endings.Writer
	gateways *gateways
	history  *historian
	tracer   *tracing.Tracer
	service  *authn.Service
}

func assemble(ctx context.Context, api client.WithWatch, o *options, registry prometheus.Registerer, log logr.Logger) (*parts, error) {
	p := &parts{users: directory.New(o.server)}
	var err error
	if p.history, err = newHistorian(o, p.users, registry, log); err != nil {
		return nil, err
	}
	if p.tracer, err = newTracer(ctx, o, log); err != nil {
		return nil, err
	}
	p.source = directory.NewSource(api, o.namespace, p.users, log.WithName("directory"), func(_ string, urgent bool) {
		if urgent {
			p.keeper.Hurry()
		}
	})
	p.keeper = newKeeper(o, api, p.users, p.source, p.history.annotations(), log)
	p.recorder = failures.NewRecorder(api, o.namespace, failures.NewMetrics(registry), log.WithName("failures"))
	p.endings = endings.New(api, o.namespace, p.users.NameOf, log.WithName("sessions"))
	p.gateways = newGateways(p.users, p.tracer, registry, log)
	sessions := newSessions(o, p.users, p.endings, p.history.observers(sessionLog{log.WithName("sessions"), p.users}, p.gateways.connections)...)
	p.service = authn.NewService(authn.Dependencies{
		Directory: p.users, Verifier: newVerifier(o, registry), Liveness: p.keeper, Sessions: sessions,
		Enroller: enroller{binding.Enroller{
			Client: api, Namespace: o.namespace, User: directory.DecisionUser, Stored: p.users.Advance,
		}},
		Recorder: failures.Attempts{Recorder: p.recorder, Sidecar: o.identity}, History: p.history.attempts(), Metrics: authn.NewMetrics(registry), Tracer: p.tracer, Log: log.WithName("login"),
	})
	p.users.OnChange(p.service.ReviewUser)
	registerGauges(registry, p.users, p.keeper, sessions)
	return p, nil
}

// run starts, in this order: the Lease, which the manager must be able to see before the users are read;
// the watches; and, once everything has been read, the listeners.
func run(ctx context.Context, o *options, log logr.Logger) error {
	api, err := newClient(o)
	if err != nil {
		return err
	}
	// A hash keeps one of Go's processors for its whole time. With as many more, the rest of the sidecar has as many
	// as there are cores, and sessions do not wait behind passwords; who gets a core is the system's to say.
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + o.hashSlots)

	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	// Alerts are about relays: which one a sidecar is of must not depend on how its pod is labelled.
	own := prometheus.WrapRegistererWith(prometheus.Labels{"server": o.server}, registry)
	if err := certexpiry.Register(own, map[string]string{"listener": o.tlsCert, "history-client": o.history.certFile}); err != nil {
		return err
	}
	p, err := assemble(ctx, api, o, own, log)
	if err != nil {
		return err
	}
	defer p.tracer.Close()
	defer p.history.start()() // it ends last: all others tell it of something

	// What the listeners need outlives them, so that logins under way at the end are answered and recorded.
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	for _, run := range []func(context.Context){p.recorder.Run, p.endings.Run, p.service.RunSessions, p.gateways.connections.Run} {
		wg.Go(func() { run(background) })
	}

	group, ctx := errgroup.WithContext(ctx)
	ready := make(chan struct{})
	group.Go(func() error { return serveProbes(ctx, o, registry, ready, p.keeper, log) })
	group.Go(func() error {
		if err := p.keeper.Claim(ctx); err != nil {
			return unlessStopping(ctx, err)
		}
		wg.Go(func() { p.source.Run(background) })
		if err := p.source.WaitForSync(ctx); err != nil {
			p.keeper.GiveUp()
			return unlessStopping(ctx, err)
		}
		p.keeper.Begin()
		collector.Pace(p.users.Users())
		wg.Go(func() { p.keeper.Run(background); p.keeper.GiveUp() })
		log.Info("Users are read; answering logins", "users", p.users.Users())
		close(ready)
		return serveListeners(ctx, o, p, own, log)
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
