// Command manager is the operator: it keeps what the sidecars need beside each RelayServer, says in each
// RelayUser whether it can be used, and carries DeviceResets out. This package only wires.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
	_ "time/tzdata" // the image has no files of time zones, and TZ may name one

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/tegata-dev/tegata/controllers"
	"github.com/tegata-dev/tegata/internal/certexpiry"
)

// syncCheckTimeout bounds how long /readyz waits to see whether the caches have been filled.
const syncCheckTimeout = time.Second

func main() {
	o, err := parseOptions(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "manager:", err)
		os.Exit(2)
	}
	if o.showVersion {
		fmt.Println(version)
		return
	}
	log := newLogger(o)
	ctrl.SetLogger(log)
	klog.SetLogger(log.WithName("client-go"))
	if err := run(o, log); err != nil {
		log.Error(err, "Manager failed")
		os.Exit(1)
	}
}

func run(o *options, log logr.Logger) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	config, err := restConfig(o.kubeconfig)
	if err != nil {
		return err
	}
	managerOptions, err := newManagerOptions(o, log)
	if err != nil {
		return err
	}
	mgr, err := ctrl.NewManager(config, managerOptions)
	if err != nil {
		return fmt.Errorf("make manager: %w", err)
	}
	if err := controllers.Setup(ctx, mgr, controllers.Options{}); err != nil {
		return err
	}
	if o.metricsCertDir != "" {
		file := filepath.Join(o.metricsCertDir, "tls.crt")
		if err := certexpiry.Register(metrics.Registry, map[string]string{"manager": file}); err != nil {
			return err
		}
	}
	if err := errors.Join(
		mgr.AddHealthzCheck("ping", healthz.Ping),
		mgr.AddReadyzCheck("caches", cachesSynced(mgr.GetCache())),
	); err != nil {
		return fmt.Errorf("add health checks: %w", err)
	}
	log.Info("Manager starts", "version", version, "namespaces", o.namespaces)
	if err := mgr.Start(ctx); err != nil {
		return fmt.Errorf("run manager: %w", err)
	}
	log.Info("Manager has stopped")
	return nil
}

// cachesSynced says whether this manager could take over: a standby that is not the leader is ready too.
func cachesSynced(caches cache.Cache) healthz.Checker {
	return func(r *http.Request) error {
		ctx, cancel := context.WithTimeout(r.Context(), syncCheckTimeout)
		defer cancel()
		if !caches.WaitForCacheSync(ctx) {
			return errors.New("caches are not filled yet")
		}
		return nil
	}
}
