package recorder

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/klauspost/compress/gzip"
	"github.com/oklog/ulid/v2"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/tegata-dev/tegata/internal/history"
	"github.com/tegata-dev/tegata/internal/history/spool"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	patience = 30 * time.Second
	secret   = "eyJhbGciOiJSUzI1NiJ9.a-token-that-nobody-may-see"
	path     = "/apis/history.tegata.dev/v1alpha1/namespaces/relays/accesslogs/asp1/records"
)

// server is a history server that keeps records in memory. It takes what the real one takes.
type server struct {
	*httptest.Server
	t *testing.T

	mu sync.Mutex
	// answer, when set, may answer instead; it says whether it did.
	answer func(w http.ResponseWriter, r *http.Request, records []history.Record) bool
	kept   []history.ID // in the order in which they were first told
	told   map[history.ID]int
	tokens []string
	sizes  []int
}

func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{t: t, told: map[history.ID]int{}}
	s.Server = httptest.NewTLSServer(s)
	s.Config.ErrorLog = nil
	t.Cleanup(s.Close)
	return s
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	records, err := s.read(r)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens = append(s.tokens, r.Header.Get("Authorization"))
	if s.answer != nil && s.answer(w, r, records) {
		return
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.sizes = append(s.sizes, len(records))
	a := map[string]any{"kept": s.keep(records), "dropped": 0, "refused": []any{}}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(a)
}

func (s *server) read(r *http.Request) ([]history.Record, error) {
	if r.Method != http.MethodPost || r.URL.Path != path || r.Header.Get("Content-Type") != history.MediaType {
		return nil, fmt.Errorf("%s %s of %s", r.Method, r.URL.Path, r.Header.Get("Content-Type"))
	}
	unpacked, err := gzip.NewReader(r.Body)
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(unpacked)
	if err != nil {
		return nil, err
	}
	return history.Decode(content)
}

// keep needs s.mu.
func (s *server) keep(records []history.Record) int {
	for i := range records {
		if err := records[i].Validate(); err != nil {
			s.t.Error(err)
		}
		s.told[records[i].ID]++
		if s.told[records[i].ID] == 1 {
			s.kept = append(s.kept, records[i].ID)
		}
	}
	return len(records)
}

// answers has the server answer so from now on.
func (s *server) answers(answer func(w http.ResponseWriter, r *http.Request, records []history.Record) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

func status(code int) func(http.ResponseWriter, *http.Request, []history.Record) bool {
	return func(w http.ResponseWriter, _ *http.Request, _ []history.Record) bool {
		w.WriteHeader(code)
		return true
	}
}

func (s *server) ids() []history.ID {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.kept)
}

// files are those that a client is given.
func (s *server) files() ClientOptions {
	s.t.Helper()
	dir := s.t.TempDir()
	o := ClientOptions{
		Address: s.URL, Namespace: "relays", Server: "asp1", CAFile: filepath.Join(dir, "ca.crt"), TokenFile: filepath.Join(dir, "token"),
	}
	write(s.t, o.CAFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
	write(s.t, o.TokenFile, []byte(secret+"\n"))
	return o
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func (s *server) client() *Client {
	s.t.Helper()
	c, err := NewClient(s.files())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(c.Close)
	return c
}

// running is a Recorder that runs until stop, or the end of the test.
type running struct {
	*Recorder
	t        *testing.T
	stop     func()
	registry *prometheus.Registry
	next     int
	mu       sync.Mutex
	logged   bytes.Buffer
}

func run(t *testing.T, d Destination, o spool.Options) *running {
	t.Helper()
	r := &running{t: t, registry: prometheus.NewRegistry()}
	r.Recorder = New(Options{
		Spool: o, Destination: d, Metrics: NewMetrics(r.registry), Log: funcr.New(func(_, args string) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.logged.WriteString(args + "\n")
		}, funcr.Options{}),
	})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { r.Run(ctx) })
	r.stop = func() { cancel(); wg.Wait() }
	t.Cleanup(func() {
		r.stop()
		if strings.Contains(r.log(), secret) {
			t.Error("the token is in the log")
		}
	})
	return r
}

func (r *running) log() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.logged.String()
}

var began = time.Date(2026, 11, 15, 10, 17, 0, 0, time.UTC)

// denied is the nth attempt.
func denied(n int) history.Record {
	var id ulid.ULID
	_ = id.SetTime(ulid.Timestamp(began.Add(time.Duration(n) * time.Millisecond)))
	id[15] = byte(n)
	return history.Record{
		ID: id, User: "taro", Program: "viewer", Viewer: "pc", Slot: "pc", Result: history.Failure, Reason: "PasswordMismatch",
		SourceAddress: "192.0.2.7", Listener: "login", Sidecar: "pod-1",
	}
}

func (r *running) put(count int) {
	for range count {
		record := denied(r.next)
		r.Record(&record)
		r.next++
	}
}

// want are the ids of attempts from first up to before end.
func want(first, end int) []history.ID {
	var ids []history.ID
	for n := first; n < end; n++ {
		ids = append(ids, denied(n).ID)
	}
	return ids
}

func same(got, want []history.ID) error {
	if slices.Equal(got, want) {
		return nil
	}
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			return fmt.Errorf("record %d is %s, want %s", i, got[i], want[i])
		}
	}
	return fmt.Errorf("%d records, want %d", len(got), len(want))
}

func eventually(t *testing.T, check func() error) {
	t.Helper()
	var err error
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); time.Now().Before(end); <-tick.C {
		if err = check(); err == nil {
			return
		}
	}
	t.Fatal(err)
}

// arrive waits until the server has these records, in this order.
func (s *server) arrive(want []history.ID) {
	s.t.Helper()
	eventually(s.t, func() error { return same(s.ids(), want) })
}

// settled waits until nothing waits.
func (r *running) settled() {
	r.t.Helper()
	eventually(r.t, func() error {
		if state := r.State(); state.Waiting != 0 || state.Age != 0 {
			return fmt.Errorf("%+v: something waits", state)
		}
		return nil
	})
}

// overflow records until one is lost, no faster than the disk.
func (r *running) overflow(count int) {
	r.t.Helper()
	for r.State().Lost == 0 {
		r.put(count)
		if r.next > 1e6 {
			r.t.Fatal("there is no bound")
		}
		eventually(r.t, func() error {
			if r.queued() > queueSize/2 && r.line.obstacle() == Overrun {
				return errors.New("the disk does not keep up")
			}
			return nil
		})
	}
}

// written waits until nothing is in memory only.
func (r *running) written() {
	r.t.Helper()
	eventually(r.t, func() error {
		if n := r.queued(); n > 0 {
			return fmt.Errorf("%d are in memory, and the obstacle is %s", n, r.line.obstacle())
		}
		return nil
	})
}

// metric is a counter's or gauge's value, of all labels or of one.
func (r *running) metric(name, label string) float64 {
	r.t.Helper()
	families, err := r.registry.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	sum := 0.0
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if family.GetName() != name || label != "" && (len(m.GetLabel()) == 0 || m.GetLabel()[0].GetValue() != label) {
				continue
			}
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return sum
}

func newRegistry() *prometheus.Registry { return prometheus.NewRegistry() }

func spoolIn(t *testing.T) spool.Options {
	t.Helper()
	return spool.Options{Dir: filepath.Join(t.TempDir(), "spool"), MaxBytes: 16 << 20}
}
