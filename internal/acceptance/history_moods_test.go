package acceptance

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/history"
	"github.com/tegata-dev/tegata/internal/testenv"
)

// moodyHistory takes what sidecars record, and merges it as the real one does. It has good and bad days.
type moodyHistory struct {
	*httptest.Server
	t *testing.T

	mu      sync.Mutex
	records map[string]history.Record
	day     atomic.Int32
}

// The days of a moodyHistory.
const (
	well int32 = iota
	away
	slow
	absentMinded // it keeps what it is sent, and forgets to say so
	confused     // it answers what nobody asked
)

func newMoodyHistory(t *testing.T) *moodyHistory {
	t.Helper()
	s := &moodyHistory{t: t, records: map[string]history.Record{}}
	s.Server = httptest.NewTLSServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *moodyHistory) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	day := s.day.Load()
	switch day {
	case away:
		http.Error(w, "away", http.StatusServiceUnavailable)
		return
	case confused:
		_, _ = io.WriteString(w, `{"kept":"everything"}`)
		return
	case slow:
		select {
		case <-time.After(300 * time.Millisecond):
		case <-r.Context().Done():
			return
		}
	}
	n, err := s.keep(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if day == absentMinded {
		panic(http.ErrAbortHandler)
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"kept": n, "dropped": 0, "refused": []any{}})
}

func (s *moodyHistory) keep(r *http.Request) (int, error) {
	unpacked, err := gzip.NewReader(r.Body)
	if err != nil {
		return 0, err
	}
	content, err := io.ReadAll(unpacked)
	if err != nil {
		return 0, err
	}
	records, err := history.Decode(content)
	if err != nil {
		return 0, err
	}
	for _, secret := range []string{samplePassword, aPC, "wrong-"} {
		if bytes.Contains(content, []byte(secret)) {
			s.t.Errorf("a record holds %q", secret)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, record := range records {
		if err := record.Validate(); err != nil {
			s.t.Error(err)
		}
		if known, ok := s.records[record.ID.String()]; ok {
			record = history.Merge(known, record)
		}
		s.records[record.ID.String()] = record
	}
	return len(records), nil
}

func (s *moodyHistory) record(id string) (history.Record, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.records[id]
	return r, ok
}

// flags are those of a sidecar that is to record there.
func (s *moodyHistory) flags(dir string) []string {
	s.t.Helper()
	ca, token := filepath.Join(dir, "ca.crt"), filepath.Join(dir, "token")
	for path, content := range map[string][]byte{
		ca: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), token: []byte("a-token"),
	} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
	return []string{
		"--history-address=" + s.URL, "--history-ca-file=" + ca, "--history-token-file=" + token,
		"--history-spool-dir=" + filepath.Join(dir, "spool"), "--history-interval=10s",
	}
}

// answered are the logins that somebody has an answer to.
type answered struct {
	mu  sync.Mutex
	all map[string]told // by the id of the record
	// late are those that were answered in the last moment before a kill.
	late []string
}

type told struct {
	result history.Result
	at     time.Time
}

func (a *answered) note(id string, result history.Result) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.all[id] = told{result, time.Now()}
}

// settling is how long before it is killed a sidecar may have answered without having written to its spool, on a busy
// machine. The queue is emptied at once.
const settling = time.Second

// killed excepts what was answered in the last moment.
func (a *answered) killed() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, t := range a.all {
		if time.Since(t.at) < settling {
			delete(a.all, id)
			a.late = append(a.late, id)
		}
	}
}

// TestHistorySurvivesKills: a sidecar that is killed again and again while people log in, and a history server that has
// bad days, and every attempt that was answered is recorded as what it was (promise 8).
func TestHistorySurvivesKills(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testenv.Shared(t), func(s *v1alpha1.RelayServer) {
		s.Spec.Denial.ResponseTime = metav1.Duration{Duration: 300 * time.Millisecond}
		generous := v1alpha1.ThrottleLimit{Failures: 100000, Interval: metav1.Duration{Duration: time.Second}}
		s.Spec.Throttle = v1alpha1.Throttle{PerUser: generous, PerSource: generous}
	})
	w.addUserWithHash("taro")
	w.eventually(func() error { return w.ready(&v1alpha1.RelayUser{}, "taro") })
	h, known := newMoodyHistory(t), &answered{all: map[string]told{}}
	flags := h.flags(t.TempDir())
	h.day.Store(away)
	for round := range 4 {
		s := w.startSidecar(flags...)
		w.mustLogin(s, pc("taro", aPC))
		stop := keepLoggingIn(t, s, known)
		for range 4 {
			h.day.Store(rand.Int32N(confused + 1))
			<-time.After(time.Duration(500+rand.IntN(500)) * time.Millisecond)
		}
		stop(func() {
			if err := s.Kill(); err != nil {
				t.Error(err)
			}
		})
		known.killed()
		t.Logf("round %d: %d answers", round, len(known.all))
	}
	h.day.Store(well)
	s := w.startSidecar(flags...)
	w.eventually(func() error { return known.allAt(h) })
	missing := 0
	for _, id := range known.late {
		if _, ok := h.record(id); !ok {
			missing++
		}
	}
	t.Logf("%d answered attempts are recorded; of %d that were answered within %s of a kill, %d are not", len(known.all), len(known.late), settling, missing)
	if lost := s.metric("tegata_history_lost_records_total"); lost > 5 {
		t.Errorf("%v records are lost", lost)
	}
	w.eventually(func() error {
		if waits := s.metric("tegata_history_spooled_records"); waits != 0 {
			return errNotYet("%v records wait", waits)
		}
		return nil
	})
	w.kubectl("", "wait", "relayserver/"+serverName, "--for=condition=HistoryComplete", "--timeout=60s")
}

// keepLoggingIn has people log in, rightly and wrongly, until stop, which is handed what ends the sidecar.
func keepLoggingIn(t *testing.T, s *sidecar, known *answered) (stop func(end func())) {
	t.Helper()
	done := make(chan struct{})
	var ended atomic.Bool
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-done:
					return
				default:
				}
				a := pc("taro", aPC)
				if (n+i)%2 == 0 {
					a.Password = fmt.Sprint("wrong-", n)
				}
				got, err := s.tryLogin(a)
				if err != nil {
					if !ended.Load() {
						t.Errorf("a login: %v", err)
					}
					return
				}
				noteAnswer(t, known, got)
			}
		})
	}
	return func(end func()) {
		ended.Store(true)
		end()
		close(done)
		wg.Wait()
	}
}

func noteAnswer(t *testing.T, known *answered, got answer) {
	t.Helper()
	if !got.allowed() {
		known.note(got.CorrelationID, history.Failure)
		return
	}
	var body struct{ Session struct{ ID string } }
	if err := json.Unmarshal(got.body, &body); err != nil || body.Session.ID == "" {
		t.Errorf("an admitted login: %v, %s", err, got.body)
	}
	known.note(body.Session.ID, history.Success)
}

// allAt says whether a history server has all that was answered, as it was.
func (a *answered) allAt(h *moodyHistory) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	missing := 0
	for id, t := range a.all {
		got, ok := h.record(id)
		switch {
		case !ok || got.Partial:
			missing++
		case got.Result != t.result || got.User != "taro" || got.UserName != "taro":
			return fmt.Errorf("record %+v of an attempt that was a %s", got, t.result)
		}
	}
	if missing > 0 {
		return fmt.Errorf("%d of %d answered attempts are not recorded", missing, len(a.all))
	}
	return nil
}

// TestHistoryOfASession: from the login to the logout, at another sidecar.
func TestHistoryOfASession(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testenv.Shared(t))
	w.addUserWithHash("taro")
	w.eventually(func() error { return w.ready(&v1alpha1.RelayUser{}, "taro") })
	h := newMoodyHistory(t)
	first, second := w.startSidecar(h.flags(t.TempDir())...), w.startSidecar(h.flags(t.TempDir())...)
	got := w.mustLogin(first, attempt{User: "taro", Password: samplePassword, Program: "viewer", Viewer: "pc", Fingerprint: aPC, Destination: "office"})
	var login struct {
		CorrelationID string
		Session       struct{ ID, Token string }
	}
	if err := json.Unmarshal(got.body, &login); err != nil {
		t.Fatal(err)
	}
	w.eventually(func() error {
		r, ok := h.record(login.Session.ID)
		if !ok {
			return errors.New("the login is not recorded")
		}
		if r.User != "taro" || r.Destination != "office" || r.CorrelationID != login.CorrelationID || !r.Enrolled || !r.Open() || r.Sidecar != first.name {
			return fmt.Errorf("recorded %+v", r)
		}
		return nil
	})
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+second.url+"/v1/sessions/"+login.Session.ID+"/end", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+login.Session.Token)
	response, err := httpClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	w.eventually(func() error {
		r, _ := h.record(login.Session.ID)
		if r.End != history.Logout || r.Partial || r.Connected() < 0 || r.Connected() > patience {
			return fmt.Errorf("status %d, recorded %+v", response.StatusCode, r)
		}
		return nil
	})
	unknown, err := first.tryLogin(attempt{User: samplePassword, Password: "x", Program: "client"})
	if err != nil {
		t.Fatal(err)
	}
	w.eventually(func() error {
		if r, ok := h.record(unknown.CorrelationID); !ok || r.Reason != "UnknownUser" || r.UserName != "" {
			return fmt.Errorf("recorded %+v", r)
		}
		return nil
	})
}
