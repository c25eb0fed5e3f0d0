package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tegata-dev/tegata/internal/certexpiry"
	"github.com/tegata-dev/tegata/internal/history/spool"
	"github.com/tegata-dev/tegata/internal/listener/extauthz"
	"github.com/tegata-dev/tegata/internal/listener/forwardauth"
	"github.com/tegata-dev/tegata/internal/metricstest"
)

// TestMetricNames: rules, dashboard and docs are checked against this list.
func TestMetricNames(t *testing.T) {
	registry := &metricstest.Registry{}
	own := prometheus.WrapRegistererWith(prometheus.Labels{"server": "asp1"}, registry)
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("token"), 0o600); err != nil {
		t.Fatal(err)
	}
	o := &options{
		server: "asp1", namespace: "demo", identity: "one", hashSlots: 1,
		history: historyOptions{address: "https://history.example", tokenFile: token, spoolDir: t.TempDir(), spoolBytes: spool.MinBytes, interval: time.Minute},
	}
	p, err := assemble(t.Context(), nil, o, own, logr.Discard())
	if err != nil {
		t.Fatal(err)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	p.recorder.Run(over) // they have made queues
	p.endings.Run(over)
	forwardauth.NewMetrics(own)
	extauthz.NewMetrics(own)
	if err := certexpiry.Register(own, nil); err != nil {
		t.Fatal(err)
	}
	metricstest.Compare(t, "../..", "sidecar", registry.Metrics(t, "tegata_"))
}
