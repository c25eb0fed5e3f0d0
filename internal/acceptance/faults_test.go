package acceptance

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/testenv"
)

// TestStorm: 10,000 failures on one user in about ten seconds cost a handful of writes and are counted
// exactly; 10,000 unknown names write nothing and hold bounded memory (promise 7).
func TestStorm(t *testing.T) {
	const attempts = 10_000
	w := newWorld(t, testenv.Shared(t), func(s *v1alpha1.RelayServer) {
		s.Spec.Denial.ResponseTime = metav1.Duration{Duration: 100 * time.Millisecond}
	})
	w.addUserWithHash("target")
	w.eventually(func() error { return w.ready(&v1alpha1.RelayUser{}, "target") })
	s := w.startSidecar()
	w.mustLogin(s, pc("target", aPC))
	writesBefore := s.metric("tegata_status_writes_total")

	began := time.Now()
	storm(t, s, attempts, func(int) attempt { return guess("target") })
	took := time.Since(began)
	w.eventually(func() error {
		if got := w.user("target").Status.FailureCount; got != attempts {
			return errNotYet("%d failures are counted, want %d", got, attempts)
		}
		return nil
	})
	writes := s.metric("tegata_status_writes_total") - writesBefore
	t.Logf("%d failures in %v: %v status writes", attempts, took.Round(time.Millisecond), writes)
	if bound := 8 + took.Seconds()/2; writes > bound {
		t.Errorf("%v status writes, want at most %v", writes, bound)
	}
	if got := len(w.user("target").Status.RecentFailures); got > 10 {
		t.Errorf("%d recent failures, want at most 10", got)
	}

	unknown := func(i int) attempt { return guess("nobody-" + strconv.Itoa(i)) }
	storm(t, s, 1000, unknown) // the memory of hashes and connections, which is bounded elsewhere
	before, writesBefore := s.residentKiB(t), s.metric("tegata_status_writes_total")
	storm(t, s, attempts, func(i int) attempt { return unknown(i + 1000) })
	grown := s.residentKiB(t) - before
	t.Logf("%d unknown names: %d KiB more resident", attempts, grown)
	if grown > 24<<10 {
		t.Errorf("%d KiB more resident after %d unknown names", grown, attempts)
	}
	if got := s.metric("tegata_status_writes_total") - writesBefore; got != 0 {
		t.Errorf("unknown names cost %v status writes", got)
	}
}

func storm(t *testing.T, s *sidecar, attempts int, next func(int) attempt) {
	t.Helper()
	const concurrency = 200
	work := make(chan int)
	var wg sync.WaitGroup
	for range concurrency {
		wg.Go(func() {
			for i := range work {
				if got, err := s.tryLogin(next(i)); err != nil || got.allowed() {
					t.Errorf("attempt %d: %d %v", i, got.Status, err)
				}
			}
		})
	}
	for i := range attempts {
		work <- i
	}
	close(work)
	wg.Wait()
}

func (s *sidecar) residentKiB(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.PID()))
	if err != nil {
		t.Skip("needs /proc")
	}
	for line := range strings.Lines(string(status)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "VmRSS:" {
			kib, err := strconv.Atoi(fields[1])
			must(t, err)
			return kib
		}
	}
	t.Fatal("no VmRSS")
	return 0
}

// TestAPIServerAway: while the API server is frozen, and then dead, bound devices log in up to
// maxStaleness and nobody enrols; when it is back, everything goes on without a restart (promise 9).
func TestAPIServerAway(t *testing.T) {
	const staleness = 15 * time.Second
	env := testenv.New(t)
	w := newWorld(t, env, func(s *v1alpha1.RelayServer) {
		s.Spec.MaxStaleness = metav1.Duration{Duration: staleness}
		s.Spec.Denial.ResponseTime = metav1.Duration{Duration: 300 * time.Millisecond}
	})
	w.addUser("kenji", testenv.Combined)
	s := w.startSidecar()
	w.mustLogin(s, phone("kenji", oldPhone))

	for name, fault := range map[string]struct {
		begin func() error
		end   func() error
	}{
		"frozen": {env.ControlPlane.APIServer().Pause, env.ControlPlane.APIServer().Resume},
		"killed": {env.ControlPlane.APIServer().Kill, func() error {
			return env.ControlPlane.APIServer().Restart(context.Background())
		}},
	} {
		must(t, fault.begin())
		began := time.Now()
		if got := w.login(s, phone("kenji", oldPhone)); !got.allowed() {
			t.Errorf("%s: the bound phone is refused: %s", name, got.body)
		}
		if got := w.login(s, pc("kenji", aPC)); got.allowed() {
			t.Errorf("%s: a device enrolled without the API server: %s", name, got.body)
		}
		if since := time.Since(began); since < staleness/2 {
			if got := w.login(s, phone("kenji", oldPhone)); !got.allowed() {
				t.Errorf("%s: the bound phone is refused after %v: %s", name, since, got.body)
			}
		}
		for w.login(s, phone("kenji", oldPhone)).allowed() {
			if since := time.Since(began); since > staleness+time.Second {
				t.Fatalf("%s: somebody is let in %v after the API server went away", name, since)
			}
		}
		must(t, fault.end())
		w.mustLogin(s, phone("kenji", oldPhone))
		w.expectFailure("kenji", v1alpha1.ReasonServerUnavailable)
	}
	if got := w.mustLogin(s, pc("kenji", aPC)); !got.Enrolled {
		t.Errorf("nobody enrols after the API server came back: %s", got.body)
	}
}
