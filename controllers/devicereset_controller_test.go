package controllers_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	coordinationv1 "k8s.io/api/coordination/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/binding"
	"github.com/tegata-dev/tegata/internal/liveness"
	"github.com/tegata-dev/tegata/internal/statuspatch"
	"github.com/tegata-dev/tegata/internal/testenv"
)

// aReset is for one user's slots, changed by the options.
func (w *world) aReset(name, user string, slots []v1alpha1.Slot, options ...func(*v1alpha1.DeviceReset)) *v1alpha1.DeviceReset {
	reset := &v1alpha1.DeviceReset{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name},
		Spec:       v1alpha1.DeviceResetSpec{UserRef: &v1alpha1.LocalReference{Name: user}, Slots: slots},
	}
	for _, option := range options {
		option(reset)
	}
	return reset
}

// selecting makes a reset one for the users with a label team.
func selecting(team string, maxUsers int32) func(*v1alpha1.DeviceReset) {
	return func(r *v1alpha1.DeviceReset) {
		r.Spec.UserRef = nil
		r.Spec.Selector = &v1alpha1.UserSelector{MatchLabels: map[string]v1alpha1.LabelValue{"team": v1alpha1.LabelValue(team)}}
		if maxUsers > 0 {
			r.Spec.MaxUsers = &maxUsers
		}
	}
}

func inTeam(team string) func(*v1alpha1.RelayUser) {
	return func(u *v1alpha1.RelayUser) { u.Labels = map[string]string{"team": team} }
}

var (
	onPC     = []v1alpha1.Slot{v1alpha1.SlotPC}
	onMobile = []v1alpha1.Slot{v1alpha1.SlotMobile}
	onBoth   = []v1alpha1.Slot{v1alpha1.SlotPC, v1alpha1.SlotMobile}
)

// resetWorld has a manager, a server, and the user taro with both devices.
func resetWorld(t *testing.T) *world {
	t.Helper()
	w := servedWorld(t)
	w.create(testenv.User(w.namespace, "taro", "asp1", testenv.Combined))
	w.userReady("taro")
	w.bind("taro", v1alpha1.SlotPC, "pc")
	w.bind("taro", v1alpha1.SlotMobile, "phone")
	return w
}

func (w *world) revoked(name string, slot v1alpha1.Slot) []v1alpha1.DeviceDigest {
	w.Helper()
	var digests []v1alpha1.DeviceDigest
	for _, device := range binding.Find(&w.user(name).Status, slot).Revoked {
		digests = append(digests, device.Digest)
	}
	return digests
}

func TestResetOfOneSlot(t *testing.T) {
	w := resetWorld(t)
	w.create(w.aReset("new-phone", "taro", onMobile, func(r *v1alpha1.DeviceReset) { r.Spec.RequestedBy = "admin" }))
	w.resetBecomes("new-phone", metav1.ConditionTrue, v1alpha1.ReasonCleared,
		"cleared mobile of taro; any other device with the right password may register next")

	taro, reset := w.user("taro"), w.reset("new-phone")
	w.must(slotHolds(taro, v1alpha1.SlotMobile, ""))
	w.must(slotHolds(taro, v1alpha1.SlotPC, "pc"))
	if diff := cmp.Diff([]v1alpha1.DeviceDigest{digest("phone")}, w.revoked("taro", v1alpha1.SlotMobile)); diff != "" {
		t.Errorf("revoked (-want +got):\n%s", diff)
	}
	want := v1alpha1.DeviceResetStatus{
		ObservedGeneration: 1, Users: 1, Processed: 1, Cleared: 1, Cursor: "taro",
		Results: []v1alpha1.SlotResult{{User: "taro", Slot: v1alpha1.SlotMobile, Outcome: v1alpha1.SlotOutcomeCleared, BindingID: "phone"}},
	}
	ignored := cmpopts.IgnoreFields(v1alpha1.DeviceResetStatus{}, "Conditions", "CompletionTime", "Enforcement")
	if diff := cmp.Diff(want, reset.Status, ignored); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
	if len(reset.Status.Conditions) != 1 || reset.Status.CompletionTime == nil {
		t.Errorf("finished at %v with the conditions %v, want Complete only", reset.Status.CompletionTime, reset.Status.Conditions)
	}
	w.hasEvent("DeviceReset", "new-phone", `cleared mobile of taro`, `(requested by "admin")`)
	w.hasEvent("RelayUser", "taro", `DeviceReset new-phone: cleared mobile of taro`, `(requested by "admin")`)
}

// hasEvent waits for an event on an object whose note has all of the texts in it.
func (w *world) hasEvent(kind, name string, texts ...string) {
	w.Helper()
	w.eventually(func() error {
		var events eventsv1.EventList
		w.must(w.env.Client.List(w.Context(), &events, client.InNamespace(w.namespace)))
		var notes []string
		for _, event := range events.Items {
			if event.Regarding.Kind != kind || event.Regarding.Name != name {
				continue
			}
			missing := false
			for _, text := range texts {
				missing = missing || !strings.Contains(event.Note, text)
			}
			if !missing {
				return nil
			}
			notes = append(notes, event.Note)
		}
		return fmt.Errorf("no event on %s %s with %q; there are %q", kind, name, texts, notes)
	})
}

func TestResetOfBothSlots(t *testing.T) {
	w := resetWorld(t)
	w.create(w.aReset("both", "taro", onBoth))
	w.resetBecomes("both", metav1.ConditionTrue, v1alpha1.ReasonCleared, "cleared pc of taro; cleared mobile of taro")
	w.must(slotHolds(w.user("taro"), v1alpha1.SlotPC, ""))
	w.must(slotHolds(w.user("taro"), v1alpha1.SlotMobile, ""))
	w.hasEvent("RelayUser", "taro", "cleared pc of taro", "cleared mobile of taro")
}

func TestResetForANamedDevice(t *testing.T) {
	w := resetWorld(t)
	next := digestUnder(w.server().Status.FingerprintKeyID, "new")
	w.create(w.aReset("bound", "taro", onMobile, forDevice(next)))
	w.resetBecomes("bound", metav1.ConditionTrue, v1alpha1.ReasonCleared, "only the device "+string(next))
	slot := binding.Find(&w.user("taro").Status, v1alpha1.SlotMobile)
	if slot.State != v1alpha1.SlotReserved || slot.ReservedFor != next {
		t.Errorf("the slot is %s for %s", slot.State, slot.ReservedFor)
	}
	w.create(w.aReset("free", "taro", onMobile, forDevice(next)))
	w.resetBecomes("free", metav1.ConditionTrue, v1alpha1.ReasonReserved, "held no device and is reserved")
	if got := w.reset("free").Status; got.Reserved != 1 || got.Cleared != 0 {
		t.Errorf("%d reserved and %d cleared, want 1 and 0", got.Reserved, got.Cleared)
	}
}

func TestResetThatLiftsAReservation(t *testing.T) {
	w := resetWorld(t)
	next := digestUnder(w.server().Status.FingerprintKeyID, "new")
	w.create(w.aReset("reserve", "taro", onMobile, forDevice(next)))
	w.resetBecomes("reserve", metav1.ConditionTrue, v1alpha1.ReasonCleared, "")
	w.create(w.aReset("lift", "taro", onMobile))
	w.resetBecomes("lift", metav1.ConditionTrue, v1alpha1.ReasonUnreserved, "mobile of taro was reserved for one device and is not any more")
	if slot := binding.Find(&w.user("taro").Status, v1alpha1.SlotMobile); slot.State != v1alpha1.SlotUnregistered || slot.ReservedFor != "" {
		t.Errorf("the slot is %s for %q", slot.State, slot.ReservedFor)
	}
	if got := w.reset("lift").Status; got.Unreserved != 1 || got.Cleared+got.Reserved+got.NotBound != 0 {
		t.Errorf("counts %+v, want one unreserved", got)
	}
	w.hasEvent("RelayUser", "taro", "DeviceReset lift: mobile of taro was reserved")
}

func TestResetThatLetsTheDeviceBackIn(t *testing.T) {
	w := resetWorld(t)
	w.create(w.aReset("lent", "taro", onMobile, func(r *v1alpha1.DeviceReset) { r.Spec.PreviousDevice = v1alpha1.PreviousDeviceAllow }))
	w.resetBecomes("lent", metav1.ConditionTrue, v1alpha1.ReasonCleared, "any device")
	if got := w.revoked("taro", v1alpha1.SlotMobile); len(got) != 0 {
		t.Errorf("revoked: %v", got)
	}
}

func TestResetOnAServerForReservedDevices(t *testing.T) {
	w := resetWorld(t)
	server := w.server()
	edit(w, server, func(o *v1alpha1.RelayServer) {
		o.Spec.Enrollment = v1alpha1.EnrollmentReservedOnly
	})
	w.serverReady() // at the new generation, so the manager has seen it
	w.create(w.aReset("reserved", "taro", onMobile))
	w.resetBecomes("reserved", metav1.ConditionTrue, v1alpha1.ReasonCleared, "no device may register until")
}

func TestResetWaitsForItsUser(t *testing.T) {
	w := servedWorld(t)
	w.create(w.aReset("early", "taro", onPC))
	w.resetBecomes("early", metav1.ConditionFalse, v1alpha1.ReasonWaitingForUser, "RelayUser taro")
	reset := w.reset("early")
	w.must(has(reset.Status.Conditions, reset.Generation, v1alpha1.ConditionReconciling, metav1.ConditionTrue, v1alpha1.ReasonWaitingForUser, ""))
	w.create(testenv.User(w.namespace, "taro", "asp1"))
	w.resetBecomes("early", metav1.ConditionTrue, v1alpha1.ReasonNothingToClear, "pc of taro held no device")
}

func TestSelectorWaitsForAUser(t *testing.T) {
	w := servedWorld(t)
	w.create(w.aReset("early", "", onPC, selecting("red", 0)), testenv.User(w.namespace, "taro", "asp1"))
	w.userReady("taro")
	w.bind("taro", v1alpha1.SlotPC, "pc")
	w.resetBecomes("early", metav1.ConditionFalse, v1alpha1.ReasonWaitingForUser, "labels of the selector")
	taro := w.user("taro")
	edit(w, taro, func(o *v1alpha1.RelayUser) {
		o.Labels = map[string]string{"team": "red"}
	})
	w.resetBecomes("early", metav1.ConditionTrue, v1alpha1.ReasonCleared, "cleared 1 device of 1 user")
}

func TestResetsThatFail(t *testing.T) {
	w := servedWorld(t)
	w.create(testenv.User(w.namespace, "one", "asp1", inTeam("red")), testenv.User(w.namespace, "two", "asp1", inTeam("red")))
	for i := range v1alpha1.MaxEnforcements + 1 {
		w.create(testenv.User(w.namespace, fmt.Sprintf("everywhere-%d", i), fmt.Sprintf("server-%d", i), inTeam("everywhere")))
	}
	for _, user := range []string{"one", "two", "everywhere-0"} {
		w.bind(user, v1alpha1.SlotPC, "pc")
	}
	hurried := func(r *v1alpha1.DeviceReset) { r.Spec.ActiveDeadlineSeconds = 1 }
	for name, tc := range map[string]struct {
		reset       *v1alpha1.DeviceReset
		wantReason  string
		wantMessage string
	}{
		"the user does not come": {w.aReset("nobody", "nobody", onPC, hurried), v1alpha1.ReasonUserNotFound, "RelayUser nobody did not appear within 1 s"},
		"nobody has the labels":  {w.aReset("no-team", "", onPC, selecting("blue", 0), hurried), v1alpha1.ReasonNoUserMatched, "within 1 s"},
		"more users than meant":  {w.aReset("too-many", "", onPC, selecting("red", 1)), v1alpha1.ReasonTooManyUsers, "more than 1 user;"},
		"too many servers":       {w.aReset("too-wide", "", onPC, selecting("everywhere", 0)), v1alpha1.ReasonTooManyServers, "more than 64 servers"},
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{T: t, env: w.env, namespace: w.namespace}
			w.create(tc.reset)
			w.resetBecomes(tc.reset.Name, metav1.ConditionFalse, tc.wantReason, tc.wantMessage)
			reset := w.reset(tc.reset.Name)
			for _, conditionType := range []string{v1alpha1.ConditionFailed, v1alpha1.ConditionStalled} {
				w.must(has(reset.Status.Conditions, reset.Generation, conditionType, metav1.ConditionTrue, tc.wantReason, tc.wantMessage))
			}
			if len(reset.Status.Conditions) != 3 || reset.Status.CompletionTime == nil {
				t.Errorf("finished at %v with %v", reset.Status.CompletionTime, reset.Status.Conditions)
			}
			w.hasEvent("DeviceReset", tc.reset.Name, tc.wantMessage)
		})
	}
	for _, user := range []string{"one", "two", "everywhere-0"} {
		w.must(slotHolds(w.user(user), v1alpha1.SlotPC, "pc"))
	}
}

func TestResetHappensOnce(t *testing.T) {
	w := resetWorld(t)
	w.create(w.aReset("new-phone", "taro", onMobile))
	w.resetBecomes("new-phone", metav1.ConditionTrue, v1alpha1.ReasonCleared, "")
	w.bind("taro", v1alpha1.SlotMobile, "new")
	before := w.user("taro").Status.Slots

	w.delete(w.reset("new-phone"))
	w.create(w.aReset("new-phone", "taro", onMobile))
	w.resetBecomes("new-phone", metav1.ConditionTrue, v1alpha1.ReasonAlreadyHandled, `was reset by request "new-phone" before`)
	w.create(w.aReset("by-id", "taro", onMobile, func(r *v1alpha1.DeviceReset) { r.Spec.RequestID = "new-phone" }))
	w.resetBecomes("by-id", metav1.ConditionTrue, v1alpha1.ReasonAlreadyHandled, "")
	if diff := cmp.Diff(before, w.user("taro").Status.Slots); diff != "" {
		t.Errorf("the slots were changed (-before +after):\n%s", diff)
	}
	w.create(w.aReset("another", "taro", onMobile))
	w.resetBecomes("another", metav1.ConditionTrue, v1alpha1.ReasonCleared, "")
}

func TestFinishedResetIsDeletedInTime(t *testing.T) {
	w := resetWorld(t)
	expires := func(seconds int32) func(*v1alpha1.DeviceReset) {
		return func(r *v1alpha1.DeviceReset) { r.Spec.TTLSecondsAfterFinished = &seconds }
	}
	w.create(w.aReset("kept", "taro", onPC),
		w.aReset("at-once", "taro", onMobile, expires(0)),
		w.aReset("soon", "taro", onMobile, expires(1)),
		w.aReset("failed", "nobody", onMobile, expires(0), func(r *v1alpha1.DeviceReset) { r.Spec.ActiveDeadlineSeconds = 1 }))
	for _, name := range []string{"at-once", "soon", "failed"} {
		w.eventually(func() error {
			err := w.env.Client.Get(t.Context(), client.ObjectKey{Namespace: w.namespace, Name: name}, &v1alpha1.DeviceReset{})
			if apierrors.IsNotFound(err) {
				return nil
			}
			return errors.Join(errors.New(name+" is still there"), err)
		})
	}
	w.resetBecomes("kept", metav1.ConditionTrue, v1alpha1.ReasonCleared, "")
}

// aLease is a sidecar's, which has observed up to a resourceVersion.
func (w *world) aLease(name string, seconds int32, observed string) *coordinationv1.Lease {
	identity := "pod-" + name
	return &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: w.namespace, Name: liveness.LeaseNamePrefix("asp1") + name, Labels: liveness.Labels("asp1"),
			Annotations: map[string]string{liveness.AnnotationObserved: observed},
		},
		Spec: coordinationv1.LeaseSpec{HolderIdentity: &identity, LeaseDurationSeconds: &seconds},
	}
}

func TestCompleteMeansObservedByEverySidecar(t *testing.T) {
	w := resetWorld(t)
	ahead, behind := w.aLease("ahead", 3600, "18446744073709551614"), w.aLease("behind", 3600, w.user("taro").ResourceVersion)
	w.create(ahead, behind)
	w.serverBecomes(v1alpha1.ConditionSidecarsLive, metav1.ConditionTrue, v1alpha1.ReasonSidecarsLive, "2 sidecars")
	w.create(w.aReset("new-phone", "taro", onMobile))
	w.resetBecomes("new-phone", metav1.ConditionFalse, v1alpha1.ReasonEnforcing, "waiting for pod-behind to observe it, or to have been silent for 1h0m0s")
	w.must(slotHolds(w.user("taro"), v1alpha1.SlotMobile, ""))

	// A renewal that has not observed the write does not do.
	now := metav1.NowMicro()
	edit(w, behind, func(l *coordinationv1.Lease) { l.Spec.RenewTime = &now })
	enforcing := w.reset("new-phone")
	w.must(has(enforcing.Status.Conditions, 1, v1alpha1.ConditionComplete, metav1.ConditionFalse, v1alpha1.ReasonEnforcing, ""))

	edit(w, behind, func(l *coordinationv1.Lease) {
		l.Annotations[liveness.AnnotationObserved] = enforcing.Status.Enforcement[0].ResourceVersion
	})
	w.resetBecomes("new-phone", metav1.ConditionTrue, v1alpha1.ReasonCleared, "")
}

// A reset that was handled by another is not Complete before what the other did is enforced: nobody knows
// whether the other, which may be gone, has waited for that.
func TestAlreadyHandledMeansObservedToo(t *testing.T) {
	w := resetWorld(t)
	behind := w.aLease("behind", 3600, w.user("taro").ResourceVersion)
	w.create(behind)
	w.create(w.aReset("new-phone", "taro", onMobile))
	w.resetBecomes("new-phone", metav1.ConditionFalse, v1alpha1.ReasonEnforcing, "pod-behind")
	w.delete(w.reset("new-phone"))
	w.create(w.aReset("new-phone", "taro", onMobile))
	w.resetBecomes("new-phone", metav1.ConditionFalse, v1alpha1.ReasonEnforcing, "pod-behind")
	enforcing := w.reset("new-phone")
	if enforcing.Status.AlreadyHandled != 1 {
		t.Errorf("%d slots had been handled, want 1", enforcing.Status.AlreadyHandled)
	}
	edit(w, behind, func(l *coordinationv1.Lease) {
		l.Annotations[liveness.AnnotationObserved] = enforcing.Status.Enforcement[0].ResourceVersion
	})
	w.resetBecomes("new-phone", metav1.ConditionTrue, v1alpha1.ReasonAlreadyHandled, "")
}

func TestCompleteMeansSilentOnesHaveRunOut(t *testing.T) {
	w := resetWorld(t)
	frozen := w.aLease("frozen", 3, w.user("taro").ResourceVersion)
	w.create(frozen)
	begin := time.Now()
	w.create(w.aReset("new-phone", "taro", onMobile))
	w.resetBecomes("new-phone", metav1.ConditionFalse, v1alpha1.ReasonEnforcing, "pod-frozen")
	w.resetBecomes("new-phone", metav1.ConditionTrue, v1alpha1.ReasonCleared, "")
	if took := time.Since(begin); took < 2*time.Second {
		t.Errorf("complete after %s, before the Lease had run out", took)
	}
	w.eventually(func() error {
		err := w.env.Client.Get(t.Context(), client.ObjectKeyFromObject(frozen), frozen)
		if !apierrors.IsNotFound(err) {
			return errors.Join(errors.New("the Lease that ran out is still there"), err)
		}
		return nil
	})
	w.serverBecomes(v1alpha1.ConditionSidecarsLive, metav1.ConditionFalse, v1alpha1.ReasonNoLiveSidecar, "")
}

func TestResetOfMany(t *testing.T) {
	w := managedWorld(t)
	const users = 120 // more than one window; of no server, so that no passwords are made for them
	w.inParallel(users, func(i int) error {
		user := testenv.User(w.namespace, fmt.Sprintf("user-%03d", i), "none", inTeam("red"))
		if err := w.env.Client.Create(t.Context(), user); err != nil {
			return err
		}
		if i%2 == 1 {
			return nil
		}
		return change(t.Context(), w.env.Client, w.namespace, user.Name, func(u *v1alpha1.RelayUser) {
			binding.Bind(&u.Status, v1alpha1.SlotPC, bindingOf(fmt.Sprintf("pc-%d", i)))
		})
	})
	w.create(w.aReset("all", "", onBoth, selecting("red", users)))
	w.resetBecomes("all", metav1.ConditionTrue, v1alpha1.ReasonCleared, "cleared 60 devices of 120 users; 180 slots held no device")
	status := w.reset("all").Status
	if len(status.Results) != v1alpha1.MaxSlotResults || len(status.Noted) != 0 || status.Processed != users {
		t.Errorf("%d results, %d noted, %d processed", len(status.Results), len(status.Noted), status.Processed)
	}
}

// crashed stores what a manager leaves that stopped after it had noted taro's PC as holding a binding.
func (w *world) crashed(noted string) *v1alpha1.DeviceReset {
	w.Helper()
	reset := w.aReset("new-pc", "taro", onPC)
	w.create(reset)
	_, err := statuspatch.Apply(w.Context(), w.env.Client, reset, func(r *v1alpha1.DeviceReset) {
		r.Status.Users = 1
		r.Status.Noted = []v1alpha1.NotedBinding{{User: "taro", UID: string(w.user("taro").UID), Slot: v1alpha1.SlotPC, BindingID: noted}}
	})
	w.must(err)
	return reset
}

func TestManagerResumesAfterNoting(t *testing.T) {
	released := func(w *world, reset *v1alpha1.DeviceReset) {
		w.change("taro", func(u *v1alpha1.RelayUser) {
			binding.Release{
				Slot: v1alpha1.SlotPC, BindingID: "old", RequestID: "new-pc", UID: string(reset.UID),
				PreviousDevice: v1alpha1.PreviousDeviceDeny, Now: time.Now(),
			}.Apply(&u.Status)
		})
	}
	for name, tc := range map[string]struct {
		// meanwhile happens between the crash and the start of the next manager.
		meanwhile  func(w *world, reset *v1alpha1.DeviceReset)
		wantHolds  string
		wantReason string
		want       v1alpha1.SlotOutcome
	}{
		"nothing has happened since": {
			func(*world, *v1alpha1.DeviceReset) {}, "", v1alpha1.ReasonCleared, v1alpha1.SlotOutcomeCleared,
		},
		"it had been cleared": {
			released, "", v1alpha1.ReasonCleared, v1alpha1.SlotOutcomeCleared,
		},
		"it had been cleared, and a new device has registered": {
			func(w *world, reset *v1alpha1.DeviceReset) {
				released(w, reset)
				w.bind("taro", v1alpha1.SlotPC, "new")
			}, "new", v1alpha1.ReasonCleared, v1alpha1.SlotOutcomeCleared,
		},
		"another device has registered": {
			func(w *world, _ *v1alpha1.DeviceReset) { w.bind("taro", v1alpha1.SlotPC, "new") },
			"new", v1alpha1.ReasonNothingToClear, v1alpha1.SlotOutcomeChangedSince,
		},
		"the user was made anew": {
			func(w *world, _ *v1alpha1.DeviceReset) {
				w.delete(w.user("taro"))
				w.create(testenv.User(w.namespace, "taro", "asp1"))
				w.bind("taro", v1alpha1.SlotPC, "old")
			}, "old", v1alpha1.ReasonNothingToClear, v1alpha1.SlotOutcomeUserGone,
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.create(testenv.Server(w.namespace, "asp1"), testenv.User(w.namespace, "taro", "asp1"))
			w.bind("taro", v1alpha1.SlotPC, "old")
			reset := w.crashed("old")
			tc.meanwhile(w, reset)

			w.startManager()
			w.resetBecomes("new-pc", metav1.ConditionTrue, tc.wantReason, "")
			w.must(slotHolds(w.user("taro"), v1alpha1.SlotPC, tc.wantHolds))
			status := w.reset("new-pc").Status
			if len(status.Results) != 1 || status.Results[0].Outcome != tc.want {
				t.Errorf("results %v, want %s", status.Results, tc.want)
			}
			if got := len(w.user("taro").Status.Slots[0].Revoked); got > 1 {
				t.Errorf("%d revoked devices", got)
			}
		})
	}
}
