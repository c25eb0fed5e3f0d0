package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/oklog/ulid/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tegata-dev/tegata/api/history/v1alpha1"
	"github.com/tegata-dev/tegata/internal/history"
	"github.com/tegata-dev/tegata/internal/history/recorder"
	"github.com/tegata-dev/tegata/internal/history/spool"
	"github.com/tegata-dev/tegata/internal/testenv"
	"github.com/tegata-dev/tegata/internal/testenv/postgrestest"
)

// sidecar is a sidecar's recorder, which sends as the administrator.
type sidecar struct {
	*recorder.Recorder
	t         *testing.T
	server    *server
	namespace string
	registry  *prometheus.Registry
	began     time.Time
	sent      int
}

func (s *server) sidecar(namespace string) *sidecar {
	s.t.Helper()
	dir := s.t.TempDir()
	o := recorder.ClientOptions{
		Address: s.place.URL, Namespace: namespace, Server: "asp1", CAFile: s.place.CAFile,
		CertFile: filepath.Join(dir, "tls.crt"), KeyFile: filepath.Join(dir, "tls.key"),
	}
	for path, content := range map[string][]byte{o.CertFile: s.env.Config.CertData, o.KeyFile: s.env.Config.KeyData} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
	client, err := recorder.NewClient(o)
	if err != nil {
		s.t.Fatal(err)
	}
	r := &sidecar{t: s.t, server: s, namespace: namespace, registry: prometheus.NewRegistry(), began: time.Now().Add(-time.Hour)}
	r.Recorder = recorder.New(recorder.Options{
		Spool:       spool.Options{Dir: filepath.Join(dir, "spool"), Owner: namespace + "/asp1", MaxBytes: 16 << 20},
		Destination: client, Metrics: recorder.NewMetrics(r.registry), Log: logr.Discard(), MaxBackoff: 50 * time.Millisecond,
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); r.Run(ctx) }()
	s.t.Cleanup(func() { cancel(); <-done; client.Close() })
	return r
}

// put records connections of a second each, and between them attempts that failed.
func (r *sidecar) put(count int) {
	for range count {
		at := r.began.Add(time.Duration(r.sent) * time.Millisecond)
		record := history.Record{
			ID: ulid.ULID{6: 1}, User: "taro", Program: "viewer", Viewer: "pc", Slot: "pc", Result: history.Failure, Reason: "DeviceMismatch",
			SourceAddress: "192.0.2.7", Listener: "login", Sidecar: "asp1-0",
		}
		_ = record.ID.SetTime(ulid.Timestamp(at))
		if r.sent%2 == 0 {
			record.Result, record.Reason = history.Success, ""
			record.Expire, record.End, record.EndTime = history.At(at.Add(time.Hour)), history.Logout, history.At(at.Add(time.Second))
		}
		r.Record(&record)
		r.sent++
	}
}

// settled waits until nothing waits.
func (r *sidecar) settled() {
	r.t.Helper()
	testenv.Eventually(r.t, soon, func() error {
		if state := r.State(); state.Waiting > 0 || state.Lost > 0 {
			return fmt.Errorf("%+v: something waits, or is lost", state)
		}
		return nil
	})
}

// failures are how many batches were tried again that were answered so; 0 for no answer.
func (r *sidecar) failures(status string) float64 {
	r.t.Helper()
	families, err := r.registry.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if family.GetName() == "tegata_history_send_failures_total" && m.GetLabel()[0].GetValue() == status {
				return m.GetCounter().GetValue()
			}
		}
	}
	return 0
}

// kept holds the server to having all that was put, once, and its totals to being exact.
func (r *sidecar) kept() {
	r.t.Helper()
	const resources = "/apis/history.tegata.dev/v1alpha1/namespaces/"
	names := map[string]bool{}
	for next := ""; ; {
		var list v1alpha1.AccessRecordList
		r.server.read(resources+r.namespace+"/accessrecords?limit=700&continue="+next, &list)
		for i := range list.Items {
			if names[list.Items[i].Name] {
				r.t.Errorf("%s is there twice", list.Items[i].Name)
			}
			names[list.Items[i].Name] = true
		}
		if next = list.Continue; next == "" {
			break
		}
	}
	var usage v1alpha1.UserUsage
	r.server.read(resources+r.namespace+"/userusages/taro", &usage)
	admitted := (r.sent + 1) / 2
	if len(names) != r.sent || usage.Attempts != int64(r.sent) || usage.Failures != int64(r.sent-admitted) ||
		usage.ConnectedTime.Duration != time.Duration(admitted)*time.Second {
		r.t.Errorf("%d records are kept, want %d; the usage is %+v", len(names), r.sent, usage)
	}
}

func (s *server) read(path string, into any) {
	s.t.Helper()
	text, err := s.ask(http.MethodGet, path, nil)
	if err == nil {
		err = json.Unmarshal([]byte(text), into)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// TestSidecarsRecorder: what a sidecar's own recorder sends over TLS is taken, all of it.
func TestSidecarsRecorder(t *testing.T) {
	env := testenv.Shared(t)
	r := start(t, env, "--sqlite-dir="+filepath.Join(t.TempDir(), "db")).sidecar(env.Namespace(t))
	r.put(3000)
	r.settled()
	r.kept()
}

// TestSidecarWaitsForItsTurn: it has sent more than one RelayServer may, waits as it is told, and loses nothing.
func TestSidecarWaitsForItsTurn(t *testing.T) {
	env := testenv.Shared(t)
	r := start(t, env, "--sqlite-dir="+filepath.Join(t.TempDir(), "db"), "--ingest-rate=200", "--ingest-burst=1100").sidecar(env.Namespace(t))
	began := time.Now()
	r.put(2000) // at that rate 4.5 s, for which no machine needs as long
	r.settled()
	r.kept()
	told, took := r.failures("429"), time.Since(began)
	if most := took.Seconds() + 1; told == 0 || told > most { // it would be told so each 50 ms, did it not wait
		t.Errorf("it was told %v times to wait, in %s", told, took)
	}
}

// TestDatabaseAway is for as long as the sidecar waits no longer between two tries than it ever would: meanwhile the
// server says so and lives, and afterwards all is there once.
func TestDatabaseAway(t *testing.T) {
	env := testenv.Shared(t)
	database := postgrestest.New(t, postgrestest.Options{Durable: true})
	dsn := filepath.Join(t.TempDir(), "dsn")
	if err := os.WriteFile(dsn, []byte(postgrestest.Database(t, database)), 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, env, "--store=postgres", "--postgres-dsn-file="+dsn)
	r := s.sidecar(env.Namespace(t))
	r.put(500)
	r.settled()
	if err := database.Kill(); err != nil {
		t.Fatal(err)
	}
	r.put(1500)
	testenv.Eventually(t, soon, func() error {
		if failed := r.failures("503"); failed < 10 { // two minutes of them, with the waits of a real sidecar
			return fmt.Errorf("%v batches have failed", failed)
		}
		return nil
	})
	for path, wellAfterAll := range map[string]bool{"/readyz": false, "/livez": true, "/apis/history.tegata.dev/v1alpha1/accessrecords": false} {
		if _, err := s.ask(http.MethodGet, path, nil); (err == nil) != wellAfterAll {
			t.Errorf("%s: %v", path, err)
		}
	}
	if state := r.State(); state.Lost != 0 || state.Waiting != 1500 {
		t.Errorf("%+v", state)
	}
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	if err := database.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	r.put(10)
	r.settled()
	testenv.Eventually(t, soon, func() error {
		_, err := s.ask(http.MethodGet, "/readyz", nil)
		return err
	})
	r.kept()
}
