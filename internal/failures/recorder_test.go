package failures

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/binding"
	"github.com/tegata-dev/tegata/internal/statuspatch"
	"github.com/tegata-dev/tegata/internal/testenv"
)

const limit = 10

// TestStorm is the seventh promise: 10,000 failures on one user within ten seconds cost a handful of
// writes, and the count stays exact.
func TestStorm(t *testing.T) {
	const (
		failures = 10_000
		burst    = 20
		every    = 20 * time.Millisecond // 10,000 in ten seconds
		writes   = 12
	)
	t.Parallel()
	env := testenv.Shared(t)
	namespace := env.Namespace(t)
	user, account := newUser(t, env, namespace, "hanako")
	var b between
	r := run(t, env, namespace, &b)
	start := time.Now()
	pace := time.NewTicker(every)
	defer pace.Stop()
	for sent := 0; sent < failures; <-pace.C {
		for range burst {
			r.Failure(account, now(fmt.Sprint("192.0.2.", sent%100)), limit)
			sent++
		}
	}
	t.Logf("%d failures in %s", failures, time.Since(start).Round(time.Millisecond))
	counts(t, env, user, failures, soon)
	if got := b.patches.Load(); got > writes {
		t.Errorf("%d writes, want at most %d", got, writes)
	}
	status := statusOf(t, env, user)
	if len(status.RecentFailures) != limit {
		t.Errorf("%d recent failures, want %d", len(status.RecentFailures), limit)
	}
	if status.LastFailure.Reason != v1alpha1.ReasonPasswordMismatch || status.LastFailure.Time.Before(&metav1.Time{Time: start}) {
		t.Errorf("last failure %+v", status.LastFailure)
	}
	testenv.Eventually(t, soon, func() error {
		if n := r.held(); n != 0 {
			return fmt.Errorf("%d users are held in memory when all is calm", n)
		}
		return nil
	})
	t.Logf("%d writes", b.patches.Load())
}

// TestFirstFailureShowsSoon: when calm, a denial is in status within a second.
func TestFirstFailureShowsSoon(t *testing.T) {
	env := testenv.Shared(t)
	namespace := env.Namespace(t)
	r := run(t, env, namespace, &between{})
	best := time.Hour
	for i := range 3 { // the machine may be busy: once is enough
		user, account := newUser(t, env, namespace, fmt.Sprint("user-", i))
		start := time.Now()
		r.Failure(account, now("192.0.2.1"), limit)
		counts(t, env, user, 1, soon)
		best = min(best, time.Since(start))
	}
	if best > time.Second {
		t.Errorf("it took %s", best)
	}
}

// TestThreeSidecars: what several sidecars count at once adds up, and each leaves its own entries.
func TestThreeSidecars(t *testing.T) {
	t.Parallel()
	env := testenv.Shared(t)
	namespace := env.Namespace(t)
	user, account := newUser(t, env, namespace, "hanako")
	var wg sync.WaitGroup
	for s := range 3 {
		r := run(t, env, namespace, &between{})
		wg.Go(func() {
			pace := time.NewTicker(5 * time.Millisecond) // so that there are several writes each
			defer pace.Stop()
			for range 500 {
				f := now("192.0.2.1")
				f.Sidecar = fmt.Sprint("s", s)
				r.Failure(account, f, limit)
				<-pace.C
			}
		})
	}
	wg.Wait()
	counts(t, env, user, 1500, soon)
	recent := statusOf(t, env, user).RecentFailures
	if len(recent) != 3 {
		t.Fatalf("recent failures %+v", recent)
	}
	for _, f := range recent {
		if f.Count != 500 {
			t.Errorf("%s counted %d, want 500", f.Sidecar, f.Count)
		}
	}
}

// TestLostAnswerCountsOnce: a write may be stored although its answer says otherwise, or not be stored;
// each failure is counted once all the same, with those that come meanwhile.
func TestLostAnswerCountsOnce(t *testing.T) {
	env := testenv.Shared(t)
	namespace := env.Namespace(t)
	users := v1alpha1.GroupVersion.WithResource("relayusers").GroupResource()
	number := 0
	for name, answer := range map[string]error{
		"connection reset":  errors.New("read tcp: connection reset by peer"),
		"timed out":         apierrors.NewTimeoutError("too slow", 1),
		"etcd timed out":    apierrors.NewInternalError(errors.New("etcdserver: request timed out")),
		"try again later":   apierrors.NewServerTimeout(users, "patch", 1),
		"proxy: no server":  apierrors.NewServiceUnavailable("no server"),
		"proxy: 502":        apierrors.NewGenericServerResponse(502, "PATCH", users, "hanako", "bad gateway", 0, true),
		"proxy: 408":        apierrors.NewGenericServerResponse(408, "PATCH", users, "hanako", "request timeout", 0, true),
		"too many requests": apierrors.NewTooManyRequests("busy", 1),
	} {
		for what, stored := range map[string]bool{"stored": true, "not stored": false} {
			if stored && apierrors.IsTooManyRequests(answer) {
				continue // the API server says so before it does anything
			}
			number++
			user, account := newUser(t, env, namespace, fmt.Sprint("user-", number))
			t.Run(name+", "+what, func(t *testing.T) {
				t.Parallel()
				var r *running
				var lost atomic.Bool
				b := &between{patch: func(send func() error) error {
					if !lost.CompareAndSwap(false, true) {
						return send()
					}
					r.Failure(account, now("192.0.2.2"), limit)
					if stored {
						if err := send(); err != nil {
							return err
						}
					}
					return answer
				}}
				r = run(t, env, namespace, b)
				for range 3 {
					r.Failure(account, now("192.0.2.1"), limit)
				}
				testenv.Eventually(t, soon, func() error {
					if n := r.held(); n != 0 {
						return fmt.Errorf("%d users are held", n)
					}
					return nil
				})
				counts(t, env, user, 4, time.Second)
			})
		}
	}
}

// TestLostAnswersBesideOthers: the same while another sidecar writes to the same user.
func TestLostAnswersBesideOthers(t *testing.T) {
	t.Parallel()
	env := testenv.Shared(t)
	namespace := env.Namespace(t)
	user, account := newUser(t, env, namespace, "hanako")
	const sidecars, each = 2, 40
	var wg sync.WaitGroup
	for s := range sidecars {
		var n atomic.Int32
		r := run(t, env, namespace, &between{patch: func(send func() error) error {
			switch turn := n.Add(1); turn % 3 {
			case 0: // it never arrived
				return errors.New("connection refused")
			case 1: // it arrived, and the answer did not
				if err := send(); err != nil {
					return err
				}
				return errors.New("connection reset by peer")
			}
			return send()
		}})
		wg.Go(func() {
			pace := time.NewTicker(50 * time.Millisecond)
			defer pace.Stop()
			for i := range each {
				f := now(fmt.Sprint("192.0.2.", i))
				f.Sidecar = fmt.Sprint("s", s)
				r.Failure(account, f, 50)
				<-pace.C
			}
		})
	}
	wg.Wait()
	counts(t, env, user, sidecars*each, time.Minute)
}

// TestAPIServerAway: what happens while nothing can be written is written later, and memory stays bounded.
func TestAPIServerAway(t *testing.T) {
	t.Parallel()
	env := testenv.Shared(t)
	namespace := env.Namespace(t)
	var b between
	r := run(t, env, namespace, &b)
	var users []*v1alpha1.RelayUser
	b.down.Store(true)
	for i := range 5 {
		user, account := newUser(t, env, namespace, fmt.Sprint("user-", i))
		users = append(users, user)
		for n := range 300 {
			r.Failure(account, now(fmt.Sprint("192.0.2.", n%200)), limit)
		}
	}
	testenv.Eventually(t, soon, func() error {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, u := range r.users {
			if u.interval == 0 {
				return errors.New("not every user has been tried")
			}
			if n := len(u.batch.failures); n > limit {
				t.Fatalf("%d entries are held for one user", n)
			}
		}
		return nil
	})
	b.down.Store(false)
	for _, user := range users {
		counts(t, env, user, 300, soon)
	}
	testenv.Eventually(t, soon, func() error {
		if n := r.held(); n != 0 {
			return fmt.Errorf("%d users are held", n)
		}
		return nil
	})
}

// TestStopWritesTheRest: what was recorded just before the end is written, and nothing runs on.
func TestStopWritesTheRest(t *testing.T) {
	env := testenv.Shared(t)
	namespace := env.Namespace(t)
	before := goleak.IgnoreCurrent()
	r := run(t, env, namespace, &between{})
	var users []*v1alpha1.RelayUser
	for i := range 10 {
		user, account := newUser(t, env, namespace, fmt.Sprint("user-", i))
		users = append(users, user)
		r.Failure(account, now("192.0.2.1"), limit)
		r.Login(account, "", "", time.Now())
	}
	r.stop()
	for _, user := range users {
		if status := statusOf(t, env, user); status.FailureCount != 1 || status.LastLoginTime == nil {
			t.Errorf("%s: %+v", user.Name, status)
		}
	}
	goleak.VerifyNone(t, before, goleak.IgnoreAnyFunction("golang.org/x/net/http2.(*ClientConn).readLoop"))
}

// TestUserGone: the failures of a user that is deleted go with it, and a new one of its name has none.
func TestUserGone(t *testing.T) {
	t.Parallel()
	env := testenv.Shared(t)
	namespace := env.Namespace(t)
	user, account := newUser(t, env, namespace, "hanako")
	if err := env.Client.Delete(t.Context(), user); err != nil {
		t.Fatal(err)
	}
	r := run(t, env, namespace, &between{})
	again, _ := newUser(t, env, namespace, "hanako")
	r.Failure(account, now("192.0.2.1"), limit)
	r.Failure(Account{Name: "nobody", UID: "uid"}, now("192.0.2.1"), limit)
	testenv.Eventually(t, soon, func() error {
		if n := r.held(); n != 0 {
			return fmt.Errorf("%d users are held", n)
		}
		return nil
	})
	if got := statusOf(t, env, again).FailureCount; got != 0 {
		t.Errorf("the new user has %d failures", got)
	}
}

// TestNoPolicyKeepsHistory: a failure that is recorded without a limit, while the relay is gone, does not
// cut the list down to itself.
func TestNoPolicyKeepsHistory(t *testing.T) {
	t.Parallel()
	env := testenv.Shared(t)
	namespace := env.Namespace(t)
	user, account := newUser(t, env, namespace, "hanako")
	r := run(t, env, namespace, &between{})
	for i := range 5 {
		r.Failure(account, now(fmt.Sprint("192.0.2.", i)), limit)
	}
	counts(t, env, user, 5, soon)
	r.Failure(account, now("192.0.2.9"), 0)
	counts(t, env, user, 6, soon)
	if got := len(statusOf(t, env, user).RecentFailures); got != 6 {
		t.Errorf("%d recent failures, want 6", got)
	}
}

// TestLoginClearsAtOnce: a login after a failure is news, and so is the first one ever.
func TestLoginClearsAtOnce(t *testing.T) {
	env := testenv.Shared(t)
	for name, account := range map[string]Account{
		"the first":       {},
		"after a failure": {Failing: true, LastLogin: time.Now().Add(-time.Second)},
	} {
		t.Run(name, func(t *testing.T) {
			namespace := env.Namespace(t)
			user, known := newUser(t, env, namespace, "hanako")
			bind(t, env, user)
			account.Name, account.UID = known.Name, known.UID
			r := run(t, env, namespace, &between{})
			r.Login(account, v1alpha1.SlotPC, "b1", time.Now())
			testenv.Eventually(t, 5*time.Second, func() error {
				status := statusOf(t, env, user)
				if status.LastLoginTime == nil || status.Slots[0].Binding.LastSeenTime == nil {
					return fmt.Errorf("status %+v", status)
				}
				return nil
			})
		})
	}
	t.Run("after a failure that is not stored yet", func(t *testing.T) {
		namespace := env.Namespace(t)
		user, account := newUser(t, env, namespace, "hanako")
		account.LastLogin = time.Now()
		r := run(t, env, namespace, &between{})
		r.Failure(account, now("192.0.2.1"), limit)
		r.Login(account, "", "", time.Now().Add(time.Second))
		testenv.Eventually(t, 5*time.Second, func() error {
			if status := statusOf(t, env, user); status.LastLoginTime == nil || status.FailureCount != 1 {
				return fmt.Errorf("status %+v", status)
			}
			return nil
		})
	})
}

func bind(t *testing.T, env *testenv.Env, user *v1alpha1.RelayUser) {
	t.Helper()
	_, err := statuspatch.Apply(t.Context(), env.Client, user, func(u *v1alpha1.RelayUser) {
		binding.Bind(&u.Status, v1alpha1.SlotPC, v1alpha1.Binding{ID: "b1", Digest: "k1:x", Kind: v1alpha1.FingerprintOpaque, RegisteredTime: at(0)})
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestRepeatedLoginsAreLazy: a login that is no news is written within a minute or so, and one right after
// another not at all; when the sidecar stops it is written then.
func TestRepeatedLoginsAreLazy(t *testing.T) {
	env := testenv.Shared(t)
	namespace := env.Namespace(t)
	user, account := newUser(t, env, namespace, "hanako")
	var b between
	r := run(t, env, namespace, &b)
	account.LastLogin = time.Now().Add(-30 * time.Second)
	for range 100 {
		r.Login(account, "", "", time.Now())
	}
	if n := r.held(); n != 0 {
		t.Errorf("%d users are held for a login half a minute after another", n)
	}
	account.LastLogin = time.Now().Add(-time.Hour)
	for range 100 {
		r.Login(account, "", "", time.Now())
	}
	r.mu.Lock()
	due := time.Until(r.users[account.UID].due)
	r.mu.Unlock()
	if due < loginDelay/2 || due > loginDelay {
		t.Errorf("due in %s", due)
	}
	// A failure meanwhile does not wait for it, and takes the login along.
	r.Failure(account, now("192.0.2.1"), limit)
	counts(t, env, user, 1, 5*time.Second)
	if status := statusOf(t, env, user); status.LastLoginTime == nil || b.patches.Load() != 1 {
		t.Errorf("%d writes, status %+v", b.patches.Load(), status)
	}

	_, lazy := newUser(t, env, namespace, "lazy")
	lazy.LastLogin = time.Now().Add(-time.Hour)
	r.Login(lazy, "", "", time.Now())
	r.stop()
	if n := b.patches.Load(); n != 2 {
		t.Errorf("%d writes after the stop, want 2", n)
	}
}
