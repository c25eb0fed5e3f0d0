package binding_test

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/binding"
	"github.com/tegata-dev/tegata/internal/decision"
	"github.com/tegata-dev/tegata/internal/directory"
	"github.com/tegata-dev/tegata/internal/statuspatch"
	"github.com/tegata-dev/tegata/internal/testenv"
)

const (
	sidecars = 3
	devices  = 32
	rounds   = 50
)

// newEnroller is a sidecar's: with a connection of its own.
func newEnroller(t *testing.T, env *testenv.Env, namespace string) *binding.Enroller {
	t.Helper()
	c, err := client.New(env.Config, client.Options{Scheme: env.Scheme})
	if err != nil {
		t.Fatal(err)
	}
	return &binding.Enroller{Client: c, Namespace: namespace, User: directory.DecisionUser}
}

// request is a login with the right password from a device, up to the moment of its enrolment.
func request(user *v1alpha1.RelayUser, slot decision.Slot, device string) binding.Request {
	viewer := map[decision.Slot]decision.Viewer{decision.SlotPC: decision.ViewerPC, decision.SlotMobile: decision.ViewerMobile}[slot]
	digest := decision.Digest("k1:" + device)
	return binding.Request{
		Name: user.Name, UID: string(user.UID), Slot: directory.SlotNames[slot], Digest: digest,
		Kind: v1alpha1.FingerprintOpaque, Source: netip.MustParseAddr("192.0.2.1"), Time: time.Now(),
		Decide: func(u *decision.User) decision.Outcome {
			return decision.Decide(decision.Input{
				Now: time.Now(), User: u, PasswordOK: true,
				Attempt: decision.Attempt{Program: decision.ProgramViewer, Viewer: viewer, Device: decision.Device{Digests: []decision.Digest{digest}}},
			})
		},
	}
}

// race has all requests made at once, in turn by each of the enrollers, and returns the outcomes.
func race(t *testing.T, enrollers []*binding.Enroller, requests []binding.Request) []decision.Outcome {
	t.Helper()
	outcomes := make([]decision.Outcome, len(requests))
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i, r := range requests {
		wg.Go(func() {
			<-start
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			outcome, err := enrollers[i%len(enrollers)].Enroll(ctx, r)
			if err != nil {
				t.Errorf("device %d: %v", i, err)
			}
			outcomes[i] = outcome.Outcome
		})
	}
	close(start)
	wg.Wait()
	return outcomes
}

// disturb writes the status of a user, but not its slots, every few milliseconds until stopped.
func disturb(t *testing.T, c client.Client, user *v1alpha1.RelayUser) (stop func()) {
	t.Helper()
	var wg sync.WaitGroup
	var stopped atomic.Bool
	wg.Go(func() {
		pace := time.NewTicker(5 * time.Millisecond)
		defer pace.Stop()
		for ; !stopped.Load(); <-pace.C {
			u := user.DeepCopy()
			if err := c.Get(t.Context(), client.ObjectKeyFromObject(user), u); err != nil {
				t.Error(err)
			}
			// A conflict with an enrolment is what this is for.
			_, _ = statuspatch.Apply(t.Context(), c, u, func(u *v1alpha1.RelayUser) { u.Status.FailureCount++ })
		}
	})
	return func() {
		stopped.Store(true)
		wg.Wait()
	}
}

// TestOneWinner is the first promise: any number of devices race for a free slot over any number of
// sidecars, and one registers. The winner is told so, and it is the one that is stored.
func TestOneWinner(t *testing.T) {
	env := testenv.Shared(t)
	namespace := env.Namespace(t)
	var enrollers []*binding.Enroller
	for range sidecars {
		enrollers = append(enrollers, newEnroller(t, env, namespace))
	}
	for round := range rounds {
		user := testenv.User(namespace, fmt.Sprintf("user-%d", round), "asp1")
		create(t, env, user)
		var requests []binding.Request
		for d := range devices {
			requests = append(requests, request(user, decision.SlotPC, fmt.Sprint("device-", d)))
		}
		stop := disturb(t, env.Client, user)
		outcomes := race(t, enrollers, requests)
		stop()

		var winners []int
		for d, o := range outcomes {
			switch o {
			case decision.Outcome{Verdict: decision.Enroll, Slot: decision.SlotPC}:
				winners = append(winners, d)
			case decision.Outcome{Reason: decision.DeviceMismatch, Slot: decision.SlotPC}:
			default:
				t.Errorf("round %d, device %d: %+v", round, d, o)
			}
		}
		if len(winners) != 1 {
			t.Fatalf("round %d: winners %v", round, winners)
		}
		if got := stored(t, env, user, v1alpha1.SlotPC); got == nil || got.Digest != v1alpha1.DeviceDigest(requests[winners[0]].Digest) {
			t.Errorf("round %d: device %d was told that it is registered, and stored is %+v", round, winners[0], got)
		}
	}
}

// TestOneDeviceInAll: a PC and a phone race for the one device that a user without combined use may have.
func TestOneDeviceInAll(t *testing.T) {
	env := testenv.Shared(t)
	namespace := env.Namespace(t)
	enrollers := []*binding.Enroller{newEnroller(t, env, namespace), newEnroller(t, env, namespace)}
	for round := range rounds {
		user := testenv.User(namespace, fmt.Sprintf("user-%d", round), "asp1", testenv.Mobile)
		create(t, env, user)
		outcomes := race(t, enrollers, []binding.Request{
			request(user, decision.SlotPC, "laptop"), request(user, decision.SlotMobile, "phone"),
		})
		pc, mobile := stored(t, env, user, v1alpha1.SlotPC), stored(t, env, user, v1alpha1.SlotMobile)
		wantPC := decision.Outcome{Verdict: decision.Enroll, Slot: decision.SlotPC}
		wantMobile := decision.Outcome{Reason: decision.SlotNotPermitted, Slot: decision.SlotMobile}
		if pc == nil {
			wantPC = decision.Outcome{Reason: decision.SlotNotPermitted, Slot: decision.SlotPC}
			wantMobile = decision.Outcome{Verdict: decision.Enroll, Slot: decision.SlotMobile}
		}
		if (pc == nil) == (mobile == nil) || outcomes[0] != wantPC || outcomes[1] != wantMobile {
			t.Fatalf("round %d: told %+v, stored %+v and %+v", round, outcomes, pc, mobile)
		}
	}
}

// TestCombinedTakesBoth: with combined use the two do not race.
func TestCombinedTakesBoth(t *testing.T) {
	env := testenv.Shared(t)
	namespace := env.Namespace(t)
	user := testenv.User(namespace, "hanako", "asp1", testenv.Combined)
	create(t, env, user)
	outcomes := race(t, []*binding.Enroller{newEnroller(t, env, namespace)}, []binding.Request{
		request(user, decision.SlotPC, "laptop"), request(user, decision.SlotMobile, "phone"),
	})
	for i, o := range outcomes {
		if o.Verdict != decision.Enroll {
			t.Errorf("%d: %+v", i, o)
		}
	}
	if pc, mobile := stored(t, env, user, v1alpha1.SlotPC), stored(t, env, user, v1alpha1.SlotMobile); pc == nil || mobile == nil {
		t.Errorf("stored %+v and %+v", pc, mobile)
	}
}

// TestSameDeviceTwice: a device that asks several times at once is registered once and admitted each time.
func TestSameDeviceTwice(t *testing.T) {
	env := testenv.Shared(t)
	namespace := env.Namespace(t)
	user := testenv.User(namespace, "hanako", "asp1")
	create(t, env, user)
	var requests []binding.Request
	for range 8 {
		requests = append(requests, request(user, decision.SlotPC, "laptop"))
	}
	enrolled := 0
	for i, o := range race(t, []*binding.Enroller{newEnroller(t, env, namespace), newEnroller(t, env, namespace)}, requests) {
		switch o.Verdict {
		case decision.Enroll:
			enrolled++
		case decision.Allow:
		case decision.Deny:
			t.Errorf("%d: %+v", i, o)
		}
	}
	if enrolled != 1 {
		t.Errorf("enrolled %d times", enrolled)
	}
}

// create makes a user of whom the manager has said that no device is registered.
func create(t *testing.T, env *testenv.Env, user *v1alpha1.RelayUser) {
	t.Helper()
	if err := env.Client.Create(t.Context(), user); err != nil {
		t.Fatal(err)
	}
	if _, err := statuspatch.Apply(t.Context(), env.Client, user, func(u *v1alpha1.RelayUser) {
		binding.Ensure(&u.Status, v1alpha1.SlotPC)
	}); err != nil {
		t.Fatal(err)
	}
}

func stored(t *testing.T, env *testenv.Env, user *v1alpha1.RelayUser, slot v1alpha1.Slot) *v1alpha1.Binding {
	t.Helper()
	u := &v1alpha1.RelayUser{}
	if err := env.Client.Get(t.Context(), client.ObjectKeyFromObject(user), u); err != nil {
		t.Fatal(err)
	}
	if s := binding.Find(&u.Status, slot); s != nil {
		return s.Binding
	}
	return nil
}
