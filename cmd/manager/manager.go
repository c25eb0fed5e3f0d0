package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/metrics/filters"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/controllers"
)

const (
	leaderElectionID = "tegata-manager"
	// reconciliationTimeout ends a reconcile that hangs, so that its worker is free again.
	reconciliationTimeout = 2 * time.Minute
	gracefulStop          = 20 * time.Second
)

// errNoCluster replaces client-go's advice, which is about a variable that nothing here reads.
var errNoCluster = errors.New("no cluster is known: give --kubeconfig, or set KUBECONFIG, or run in a pod")

// restConfig sets no limit on requests a second: what the manager does at once is bounded by its workers,
// the API server's priority and fairness shares out the rest, and a limit here would make a reset of one
// device wait behind an import of thousands of users.
func restConfig(kubeconfig string) (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfig
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	if clientcmd.IsEmptyConfig(err) {
		return nil, errNoCluster
	}
	if err != nil {
		return nil, fmt.Errorf("read kubeconfig: %w", err)
	}
	config.QPS = -1
	config.UserAgent = "tegata-manager/" + version
	return config, nil
}

func newManagerOptions(o *options, log logr.Logger) (ctrl.Options, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return ctrl.Options{}, fmt.Errorf("make scheme: %w", err)
		}
	}
	caches, err := controllers.CacheOptions(o.namespaces)
	if err != nil {
		return ctrl.Options{}, err
	}
	stop, warm := gracefulStop, true
	return ctrl.Options{
		Scheme: scheme,
		Logger: log,
		Cache:  caches,
		Client: client.Options{FieldOwner: controllers.FieldOwner},
		Metrics: metricsserver.Options{
			BindAddress:    o.metricsAddress,
			SecureServing:  true,
			CertDir:        o.metricsCertDir,
			FilterProvider: filters.WithAuthenticationAndAuthorization,
		},
		HealthProbeBindAddress:  o.probeAddress,
		LeaderElection:          o.leaderElect,
		LeaderElectionID:        leaderElectionID,
		LeaderElectionNamespace: o.leaderElectionNamespace,
		// The process ends when the manager stops, so nothing goes on without the Lease.
		LeaderElectionReleaseOnCancel: true,
		GracefulShutdownTimeout:       &stop,
		Controller: config.Controller{
			ReconciliationTimeout: reconciliationTimeout,
			// A standby keeps its caches filled and sees the sidecars' Leases being renewed.
			EnableWarmup: &warm,
		},
	}, nil
}
