package controllers_test

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/tegata-dev/tegata/internal/certexpiry"
	"github.com/tegata-dev/tegata/internal/metricstest"
)

// TestMetricNames: rules, dashboard and docs are checked against this list. Of controller-runtime's metrics it has
// those that they may use.
func TestMetricNames(t *testing.T) {
	managedWorld(t)
	served, ok := metrics.Registry.(prometheus.Collector)
	if !ok {
		t.Fatalf("%T does not describe itself", metrics.Registry)
	}
	registry := &metricstest.Registry{}
	registry.MustRegister(served)
	if err := certexpiry.Register(registry, nil); err != nil { // which cmd/manager adds
		t.Fatal(err)
	}
	metricstest.Compare(t, "..", "manager", registry.Metrics(t, "tegata_", "controller_runtime_reconcile_errors_total", "leader_election_master_status"))
}
