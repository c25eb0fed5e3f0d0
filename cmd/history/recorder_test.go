package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/oklog/ulid/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tegata-dev/tegata/internal/history"
	"github.com/tegata-dev/tegata/internal/history/recorder"
	"github.com/tegata-dev/tegata/internal/history/spool"
	"github.com/tegata-dev/tegata/internal/testenv"
)

// TestSidecarsRecorder: what a sidecar's own recorder sends over TLS is taken, all of it.
func TestSidecarsRecorder(t *testing.T) {
	env := testenv.Shared(t)
	s := start(t, env, "--sqlite-dir="+filepath.Join(t.TempDir(), "db"))
	dir := t.TempDir()
	o := recorder.ClientOptions{
		Address: s.place.URL, Namespace: "relays", Server: "asp1", CAFile: s.place.CAFile,
		CertFile: filepath.Join(dir, "tls.crt"), KeyFile: filepath.Join(dir, "tls.key"),
	}
	for path, content := range map[string][]byte{o.CertFile: env.Config.CertData, o.KeyFile: env.Config.KeyData} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	client, err := recorder.NewClient(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	r := recorder.New(recorder.Options{
		Spool: spool.Options{Dir: filepath.Join(dir, "spool"), MaxBytes: 16 << 20}, Destination: client,
		Metrics: recorder.NewMetrics(prometheus.NewRegistry()), Log: logr.Discard(),
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); r.Run(ctx) }()
	began := time.Now().Add(-time.Hour)
	const records = 3000
	for i := range records {
		id := ulid.ULID{6: 1}
		_ = id.SetTime(ulid.Timestamp(began.Add(time.Duration(i) * time.Millisecond)))
		r.Record(&history.Record{
			ID: id, User: "taro", Program: "viewer", Viewer: "pc", Slot: "pc", Result: history.Failure, Reason: "DeviceMismatch",
			SourceAddress: "192.0.2.7", Listener: "login", Sidecar: "asp1-0",
		})
	}
	testenv.Eventually(t, soon, func() error {
		if state := r.State(); state.Waiting > 0 || state.Lost > 0 {
			return fmt.Errorf("%+v: something waits, or is lost", state)
		}
		return nil
	})
	cancel()
	<-done
}
