package acceptance

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	historyv1alpha1 "github.com/tegata-dev/tegata/api/history/v1alpha1"
	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/testenv"
	"github.com/tegata-dev/tegata/internal/testenv/postgrestest"
)

const (
	// chaosTime is for how long processes are killed, chaosUsers who logs in meanwhile.
	chaosTime  = 20 * time.Second
	chaosUsers = 8
)

// victim is what may be killed at any time, and comes back.
type victim struct {
	name    string
	kill    func() error
	restart func(context.Context) error
	// killed are the times.
	killed []time.Time
}

func processVictim(name string, p *testenv.Process) *victim {
	return &victim{name: name, kill: p.Kill, restart: p.Restart}
}

// TestNoRecordIsLost kills sidecars, the history server and the database at random moments under load: what was
// answered is kept exactly once, and totals are exact.
func TestNoRecordIsLost(t *testing.T) {
	for name, store := range map[string]func(*testing.T) ([]string, []*victim){
		"sqlite": func(t *testing.T) ([]string, []*victim) {
			return []string{"--store=sqlite", "--sqlite-dir=" + t.TempDir()}, nil
		},
		"postgres": func(t *testing.T) ([]string, []*victim) {
			server := postgrestest.New(t, postgrestest.Options{Durable: true})
			dsn := filepath.Join(t.TempDir(), "dsn")
			must(t, os.WriteFile(dsn, []byte(postgrestest.Database(t, server)), 0o600))
			return []string{"--store=postgres", "--postgres-dsn-file=" + dsn}, []*victim{{name: "postgres", kill: server.Kill, restart: server.Restart}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, testenv.Shared(t), fastDenials, func(s *v1alpha1.RelayServer) {
				s.Spec.Throttle.PerUser = v1alpha1.ThrottleLimit{Failures: 100000, Interval: metav1.Duration{Duration: time.Second}}
				s.Spec.Throttle.PerSource = s.Spec.Throttle.PerUser
				s.Spec.Session.MaxPerUser = 1000
			})
			flags, victims := store(t)
			history := w.startHistory(flags...)
			for i := range chaosUsers {
				w.addUserWithHash(fmt.Sprintf("user-%d", i))
			}
			load := &load{world: w, sidecars: []*sidecar{w.startSidecar(w.historyFlags(history)...), w.startSidecar(w.historyFlags(history)...)}}
			for i := range chaosUsers {
				for _, s := range load.sidecars {
					w.mustLogin(s, pc(fmt.Sprintf("user-%d", i), "own-pc-serial"))
				}
			}
			victims = append(victims, processVictim("history", history.Process))
			for _, s := range load.sidecars {
				victims = append(victims, processVictim(s.name, s.Process))
			}
			load.during(func() { w.chaos(victims) })
			load.verify(victims)
		})
	}
}

// chaos kills one after another, and starts each again a little later.
func (w *world) chaos(victims []*victim) {
	w.t.Helper()
	seed := uint64(time.Now().UnixNano()) //nolint:gosec // any will do
	w.t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	pause := func(limit time.Duration) { <-time.After(time.Duration(random.Int64N(int64(limit)))) }
	for end := time.Now().Add(chaosTime); time.Now().Before(end); {
		pause(time.Second)
		v := victims[random.IntN(len(victims))]
		v.killed = append(v.killed, time.Now())
		must(w.t, v.kill())
		pause(2 * time.Second)
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		must(w.t, v.restart(ctx))
		cancel()
	}
}

// logged is an attempt of which the answer came.
type logged struct {
	id, user, sidecar string
	allowed           bool
	at, ended         time.Time // ended is zero when no logout was answered
}

// load is people who log in, log out, and mistake their devices.
type load struct {
	*world
	sidecars []*sidecar

	mu   sync.Mutex
	told []logged
}

func (l *load) during(f func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for i := range chaosUsers {
		wg.Go(func() { l.person(ctx, fmt.Sprintf("user-%d", i), rand.New(rand.NewPCG(uint64(i), 1))) }) //nolint:gosec // small
	}
	f()
	cancel()
	wg.Wait()
}

func (l *load) person(ctx context.Context, user string, random *rand.Rand) {
	for ctx.Err() == nil {
		s := l.sidecars[random.IntN(len(l.sidecars))]
		device := []string{"own-pc-serial", "other-pc-serial"}[random.IntN(2)]
		answer, err := s.tryLoginContext(ctx, pc(user, device))
		if err != nil {
			<-time.After(50 * time.Millisecond) // it was killed
			continue
		}
		told := logged{id: answer.CorrelationID, user: user, sidecar: s.name, allowed: answer.allowed(), at: time.Now()}
		if told.allowed {
			session := l.sessionOf(answer)
			told.id = session.Session.ID
			if random.IntN(2) == 0 && s.logout(session) == nil {
				told.ended = time.Now()
			}
		}
		l.mu.Lock()
		l.told = append(l.told, told)
		l.mu.Unlock()
	}
}

func (s *sidecar) logout(session sessionReply) error {
	request, err := http.NewRequest(http.MethodPost, "http://"+s.url+"/v1/sessions/"+session.Session.ID+"/end", http.NoBody)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+session.Session.Token)
	response, err := httpClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("logout answered %s", response.Status)
	}
	return nil
}

// verify compares what was answered with what the history has in the end.
func (l *load) verify(victims []*victim) {
	l.t.Helper()
	killed := map[string][]time.Time{}
	kills := 0
	for _, v := range victims {
		killed[v.name] = v.killed
		kills += len(v.killed)
	}
	settled := func(sidecar string, at time.Time) bool {
		for _, kill := range killed[sidecar] {
			if kill.Sub(at).Abs() < settling { // an answer may be read after who sent it was killed
				return false
			}
		}
		return true
	}
	var records []historyv1alpha1.AccessRecord
	l.eventually(func() (err error) {
		if records, err = l.records(); err != nil {
			return err
		}
		return l.missing(records, settled)
	})
	l.t.Logf("%d answers, %d records, %d kills", len(l.told), len(records), kills)
	l.eventually(l.compareTotals)
}

func (l *load) missing(records []historyv1alpha1.AccessRecord, settled func(string, time.Time) bool) error {
	byID := map[string]*historyv1alpha1.AccessRecord{}
	for i := range records {
		r := &records[i]
		if byID[r.Name] != nil {
			l.t.Fatalf("%s is there twice", r.Name)
		}
		byID[r.Name] = r
	}
	for _, a := range l.told {
		r := byID[strings.ToLower(a.id)]
		switch {
		case r == nil && settled(a.sidecar, a.at):
			return fmt.Errorf("%s of %s at %s is missing: allowed %t, answered %s", a.id, a.user, a.sidecar, a.allowed, a.at)
		case r == nil:
		case r.User != a.user || (r.Result == historyv1alpha1.ResultSuccess) != a.allowed:
			l.t.Fatalf("%+v is kept as %+v", a, r)
		case !a.ended.IsZero() && settled(a.sidecar, a.ended) && r.End != historyv1alpha1.EndLogout:
			return fmt.Errorf("the logout of %s at %s at %s is missing: %+v", a.id, a.sidecar, a.ended, r)
		}
	}
	return nil
}

// compareTotals adds up what the history adds up as records come, late, twice and out of order. One that comes between
// the two questions is in the totals only.
func (l *load) compareTotals() error {
	records, err := l.records()
	if err != nil {
		return err
	}
	usages, err := l.usages()
	if err != nil {
		return err
	}
	type total struct {
		attempts, failures int64
		connected          time.Duration
	}
	want := map[string]total{}
	for i := range records {
		r, sum := &records[i], want[records[i].User]
		sum.attempts++
		if r.Result == historyv1alpha1.ResultFailure {
			sum.failures++
		} else if r.Duration != nil {
			sum.connected += r.Duration.Duration
		}
		want[r.User] = sum
	}
	delete(want, "")
	for user, sum := range want {
		got := usages[user]
		if (total{got.Attempts, got.Failures, got.ConnectedTime.Duration}) != sum {
			return fmt.Errorf("usage of %s is %+v, want %+v", user, got, sum)
		}
	}
	return nil
}
