// Command history serves the access history: it keeps what sidecars tell of every attempt to connect, and shows it
// through the API server it stands behind. This package only wires.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"
	_ "time/tzdata" // an image has none

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tegata-dev/tegata/internal/certexpiry"
	"github.com/tegata-dev/tegata/internal/historyserver"
)

// memoryLimit is what Go's memory is held below, unless GOMEMLIMIT says otherwise.
const memoryLimit = 112 << 20

func main() {
	o, err := parseOptions(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "history:", err)
		os.Exit(2)
	}
	if o.showVersion {
		fmt.Println(version)
		return
	}
	limitMemory()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	log := newLogger(o)
	err = run(ctx, o, log)
	stop()
	if err != nil {
		log.Error(err, "History server failed")
		os.Exit(1)
	}
}

func limitMemory() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
}

// run opens the store, serves it until ctx ends, and closes it after the last request.
func run(ctx context.Context, o *options, log logr.Logger) (err error) {
	config, err := restConfig(o.kubeconfig)
	if err != nil {
		return fmt.Errorf("read kubeconfig: %w", err)
	}
	config.UserAgent = "tegata-history/" + version
	servers, err := historyserver.NewRelayServers(config)
	if err != nil {
		return err
	}
	store, err := openStore(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	registry := prometheus.NewRegistry()
	if err := certexpiry.Register(registry, map[string]string{"history": o.serving.ServerCert.CertKey.CertFile}); err != nil {
		return err
	}
	server, err := historyserver.New(&historyserver.Config{
		Store: store, Serving: o.serving, Authentication: o.authentication, Authorization: o.authorization, Audiences: o.audiences,
		Retentions: servers, DefaultRetention: o.retention, Quota: o.quota,
		Registry: registry, Log: log, Now: time.Now,
	})
	if err != nil {
		return err
	}
	return server.Run(ctx)
}
