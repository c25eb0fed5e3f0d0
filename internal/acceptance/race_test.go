package acceptance

import (
	"context"
	"fmt"
	"net/http/httptrace"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/testenv"
)

// TestOneWinner: 32 devices race for one free slot over 3 sidecars, 50 times (promise 1).
func TestOneWinner(t *testing.T) {
	const rounds, devices, sidecars = 50, 32, 3
	w := newWorld(t, testenv.Shared(t), func(s *v1alpha1.RelayServer) {
		s.Spec.FailureHistoryLimit = 50
		s.Spec.Throttle.PerUser = limit(devices * 2)
		s.Spec.Throttle.PerSource = limit(100000)
		// Losers read the winner's binding from the API server; what they wait for is not what is tested.
		s.Spec.Denial.ResponseTime = metav1.Duration{Duration: 4 * time.Second}
	})
	for range sidecars {
		w.startSidecar("--hash-queue=64")
	}
	for round := range rounds {
		w.addUserWithHash(fmt.Sprintf("user-%d", round), testenv.Mobile, func(u *v1alpha1.RelayUser) { u.Spec.Programs.Client = true })
	}
	var wg sync.WaitGroup
	slots := make(chan struct{}, 5) // rounds under way at a time
	for round := range rounds {
		name := fmt.Sprintf("user-%d", round)
		slots <- struct{}{}
		w.eventually(func() error { return w.ready(&v1alpha1.RelayUser{}, name) })
		w.awaitKnown(name)
		wg.Go(func() {
			defer func() { <-slots }()
			w.raceForSlot(name, devices)
		})
	}
	wg.Wait()
}

// awaitKnown waits until every sidecar knows the user's credential. The far end's program binds no device.
func (w *world) awaitKnown(user string) {
	w.t.Helper()
	for _, s := range w.sidecars {
		w.mustLogin(s, attempt{User: user, Password: samplePassword, Program: "client"})
	}
}

func (w *world) raceForSlot(user string, devices int) {
	answers := make([]answer, devices)
	var wg sync.WaitGroup
	for i := range devices {
		wg.Go(func() {
			a, err := w.sidecars[i%len(w.sidecars)].tryLogin(phone(user, fmt.Sprintf("racing-device-%02d", i)))
			if err != nil {
				w.t.Errorf("%s, device %d: %v", user, i, err)
			}
			answers[i] = a
		})
	}
	wg.Wait()
	w.checkRace(user, answers)
}

func (w *world) checkRace(user string, answers []answer) {
	winner, winners := -1, 0
	for i, a := range answers {
		if a.allowed() {
			winner, winners = i, winners+1
		} else if a.Code != 293 {
			w.t.Errorf("%s: device %d that lost got %d %s", user, i, a.Status, a.body)
		}
	}
	if winners != 1 {
		w.t.Errorf("%s: %d devices won", user, winners)
		return
	}
	// The stored binding is the winner's: it is let in again, and its digest is nobody's who failed.
	again, err := w.sidecars[0].tryLogin(phone(user, fmt.Sprintf("racing-device-%02d", winner)))
	if err != nil || !again.allowed() || again.Enrolled {
		w.t.Errorf("%s: the winner came back and got %d %s %v", user, again.Status, again.body, err)
	}
	w.checkLosers(user, len(answers)-1)
}

func (w *world) checkLosers(user string, losers int) {
	testenv.Eventually(w.t, patience, func() error {
		var u v1alpha1.RelayUser
		if err := w.env.Client.Get(context.Background(), client.ObjectKey{Namespace: w.namespace, Name: user}, &u); err != nil {
			return err
		}
		bound := u.Status.Slots[1].Binding
		if bound == nil {
			return fmt.Errorf("%s has no binding", user)
		}
		counted := int64(0)
		for _, f := range u.Status.RecentFailures {
			if f.Digest == bound.Digest {
				return fmt.Errorf("%s: the bound device is recorded as refused: %+v", user, f)
			}
			if f.Reason == v1alpha1.ReasonDeviceMismatch {
				counted += f.Count
			}
		}
		if counted != int64(losers) {
			return errNotYet("%s: %d losers are recorded, want %d", user, counted, losers)
		}
		return nil
	})
}

// TestResetAgainstLogin: the old device logs in all the time while it is reset; once the reset is
// Complete, no login that begins is let in, and whoever enrols afterwards stays (promises 2 and 4).
func TestResetAgainstLogin(t *testing.T) {
	const rounds = 8
	w := newWorld(t, testenv.Shared(t), func(s *v1alpha1.RelayServer) {
		s.Spec.Throttle.PerSource = limit(100000)
		s.Spec.Throttle.PerUser = limit(100000)
		s.Spec.Denial.ResponseTime = metav1.Duration{Duration: 100 * time.Millisecond}
	})
	w.startSidecar()
	w.startSidecar()
	w.addUserWithHash("saki", testenv.Mobile)
	w.eventually(func() error { return w.ready(&v1alpha1.RelayUser{}, "saki") })

	for round := range rounds {
		device := fmt.Sprintf("device-of-round-%d", round)
		w.mustLogin(w.sidecars[round%2], phone("saki", device))
		stop := w.keepLoggingIn(phone("saki", device))
		name := fmt.Sprintf("reset-%d", round)
		w.reset(name, "saki", v1alpha1.SlotMobile)
		complete := time.Now()
		stop(complete)
		next := fmt.Sprintf("device-of-round-%d", round+1)
		w.mustLogin(w.sidecars[0], phone("saki", next))
		// Applied again by GitOps after a TTL: once is once (promise 3).
		w.kubectl("", "delete", "devicereset", name)
		again := w.reset(name, "saki", v1alpha1.SlotMobile)
		if c := condition(again.Status.Conditions, v1alpha1.ConditionComplete); c.Reason != v1alpha1.ReasonAlreadyHandled {
			t.Errorf("reset applied again is %s: %s", c.Reason, c.Message)
		}
		if got := w.login(w.sidecars[1], phone("saki", next)); !got.allowed() {
			t.Fatalf("the device that enrolled after the reset was put out: %s", got.body)
		}
	}
}

// keepLoggingIn logs in at every sidecar until stop is called, and then reports every login that began
// after the time given to stop and was let in.
func (w *world) keepLoggingIn(a attempt) (stop func(complete time.Time)) {
	var mu sync.Mutex
	var admitted, refused []time.Time // when each began
	var wg sync.WaitGroup
	done := make(chan struct{})
	logIn := func(s *sidecar) {
		began := time.Now()
		got, err := s.tryLogin(a)
		if err != nil {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if got.allowed() {
			admitted = append(admitted, began)
		} else {
			refused = append(refused, began)
		}
	}
	for _, s := range w.sidecars {
		for range 3 {
			wg.Go(func() {
				for {
					select {
					case <-done:
						return
					default:
						logIn(s)
					}
				}
			})
		}
	}
	return func(complete time.Time) {
		w.eventually(func() error {
			mu.Lock()
			defer mu.Unlock()
			if n := countAfter(refused, complete); n < 10 {
				return errNotYet("%d logins were refused since the reset", n)
			}
			return nil
		})
		close(done)
		wg.Wait()
		if len(admitted) == 0 {
			w.t.Error("the old device never got in: the test tests nothing")
		}
		if n := countAfter(admitted, complete); n > 0 {
			w.t.Errorf("%d logins that began after Complete were let in", n)
		}
	}
}

func countAfter(times []time.Time, since time.Time) int {
	n := 0
	for _, t := range times {
		if t.After(since) {
			n++
		}
	}
	return n
}

// TestCompleteWaitsForFrozenSidecar: a sidecar that is frozen holds the reset up until its Lease has run
// out; woken, it lets nobody in before it has caught up (promise 4).
func TestCompleteWaitsForFrozenSidecar(t *testing.T) {
	t.Parallel()
	const staleness = 8 * time.Second
	w := newWorld(t, testenv.Shared(t), func(s *v1alpha1.RelayServer) {
		s.Spec.MaxStaleness = metav1.Duration{Duration: staleness}
	})
	w.addUser("yuki", testenv.Mobile)
	awake, frozen := w.startSidecar(), w.startSidecar()
	w.mustLogin(awake, phone("yuki", oldPhone))
	w.mustLogin(frozen, phone("yuki", oldPhone))

	must(t, frozen.Pause())
	frozenAt := time.Now()
	w.create(deviceReset(w.namespace, "yuki-phone", "yuki", v1alpha1.SlotMobile))
	w.eventually(func() error {
		if got := w.resetReason("yuki-phone"); got != v1alpha1.ReasonEnforcing {
			return errNotYet("reset is %q", got)
		}
		return nil
	})
	if w.login(awake, phone("yuki", oldPhone)).allowed() {
		t.Error("the sidecar that is awake lets the old phone in")
	}
	w.awaitReset("yuki-phone")
	// The Lease was renewed at most a renewal's interval before the freeze.
	if held := time.Since(frozenAt); held < staleness/2 {
		t.Errorf("reset was Complete %v after a sidecar froze that may let people in for %v", held, staleness)
	}

	const waiting = 20
	results, sent := make(chan answer, waiting), make(chan struct{}, waiting)
	trace := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		WroteRequest: func(httptrace.WroteRequestInfo) { sent <- struct{}{} },
	})
	for range waiting {
		go func() {
			got, _ := frozen.tryLoginContext(trace, phone("yuki", oldPhone))
			results <- got
		}()
	}
	for range waiting {
		<-sent // it waits in the socket of the frozen sidecar
	}
	must(t, frozen.Resume())
	for range waiting {
		if got := <-results; got.allowed() {
			t.Error("the woken sidecar let the removed phone in")
		}
	}
	w.mustLogin(frozen, phone("yuki", newPhone))
}
