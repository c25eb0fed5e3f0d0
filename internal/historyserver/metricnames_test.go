package historyserver

import (
	"testing"

	"github.com/tegata-dev/tegata/internal/certexpiry"
	"github.com/tegata-dev/tegata/internal/metricstest"
)

// TestMetricNames: rules, dashboard and docs are checked against this list.
func TestMetricNames(t *testing.T) {
	registry := &metricstest.Registry{}
	newMetrics(registry)
	if err := certexpiry.Register(registry, nil); err != nil { // which cmd/history adds
		t.Fatal(err)
	}
	metricstest.Compare(t, "../..", "history", registry.Metrics(t, "tegata_"))
}
