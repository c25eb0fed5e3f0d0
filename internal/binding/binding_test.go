package binding_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/binding"
)

const (
	laptop = v1alpha1.DeviceDigest("k1:laptop")
	phone  = v1alpha1.DeviceDigest("k1:phone")
	tablet = v1alpha1.DeviceDigest("k1:tablet")
)

var (
	noon   = time.Date(2026, 11, 15, 12, 0, 0, 0, time.UTC)
	atNoon = metav1.NewTime(noon)
	before = metav1.NewTime(noon.Add(-time.Hour))
)

func bound(id string, digest v1alpha1.DeviceDigest) *v1alpha1.Binding {
	return &v1alpha1.Binding{ID: id, Digest: digest, Kind: v1alpha1.FingerprintOpaque, RegisteredTime: before}
}

func pcSlot(change ...func(*v1alpha1.SlotStatus)) v1alpha1.SlotStatus {
	s := v1alpha1.SlotStatus{Slot: v1alpha1.SlotPC, State: v1alpha1.SlotUnregistered}
	for _, c := range change {
		c(&s)
	}
	return s
}

func holding(id string, digest v1alpha1.DeviceDigest) func(*v1alpha1.SlotStatus) {
	return func(s *v1alpha1.SlotStatus) { s.State, s.Binding = v1alpha1.SlotRegistered, bound(id, digest) }
}

func reservedFor(digest v1alpha1.DeviceDigest) func(*v1alpha1.SlotStatus) {
	return func(s *v1alpha1.SlotStatus) { s.State, s.ReservedFor = v1alpha1.SlotReserved, digest }
}

func revoked(digests ...v1alpha1.DeviceDigest) func(*v1alpha1.SlotStatus) {
	return func(s *v1alpha1.SlotStatus) {
		for _, d := range digests {
			s.Revoked = append(s.Revoked, v1alpha1.RevokedDevice{Digest: d, Time: before, RequestID: "earlier"})
		}
	}
}

func handled(requestID, uid string, outcome v1alpha1.SlotOutcome, bindingID string) func(*v1alpha1.SlotStatus) {
	return func(s *v1alpha1.SlotStatus) {
		s.HandledResets = append(s.HandledResets, v1alpha1.HandledReset{
			RequestID: requestID, UID: uid, Time: before, Outcome: outcome, BindingID: bindingID,
		})
	}
}

func reset(change ...func(*binding.Release)) binding.Release {
	r := binding.Release{
		Slot: v1alpha1.SlotPC, BindingID: "b1", RequestID: "lost-laptop", UID: "uid-1",
		PreviousDevice: v1alpha1.PreviousDeviceDeny, Now: noon,
	}
	for _, c := range change {
		c(&r)
	}
	return r
}

func TestReleaseOutcomes(t *testing.T) {
	sawNone := func(r *binding.Release) { r.BindingID = "" }
	next := func(d v1alpha1.DeviceDigest) func(*binding.Release) {
		return func(r *binding.Release) { r.NextDevice = d }
	}
	for name, tc := range map[string]struct {
		release     binding.Release
		before      []v1alpha1.SlotStatus
		want        v1alpha1.SlotOutcome
		wantCleared string
		wantState   v1alpha1.SlotState
		wantBinding string
		wantFor     v1alpha1.DeviceDigest
	}{
		"what it saw is cleared": {
			release: reset(), before: []v1alpha1.SlotStatus{pcSlot(holding("b1", laptop))},
			want: v1alpha1.SlotOutcomeCleared, wantCleared: "b1", wantState: v1alpha1.SlotUnregistered,
		},
		"and reserved for the next device": {
			release: reset(next(tablet)), before: []v1alpha1.SlotStatus{pcSlot(holding("b1", laptop))},
			want: v1alpha1.SlotOutcomeCleared, wantCleared: "b1", wantState: v1alpha1.SlotReserved, wantFor: tablet,
		},
		"a device that registered since stays": {
			release: reset(), before: []v1alpha1.SlotStatus{pcSlot(holding("b2", laptop))},
			want: v1alpha1.SlotOutcomeChangedSince, wantState: v1alpha1.SlotRegistered, wantBinding: "b2",
		},
		"also when the reset saw none": {
			release: reset(sawNone), before: []v1alpha1.SlotStatus{pcSlot(holding("b2", laptop))},
			want: v1alpha1.SlotOutcomeChangedSince, wantState: v1alpha1.SlotRegistered, wantBinding: "b2",
		},
		"also when it names a next device": {
			release: reset(sawNone, next(tablet)), before: []v1alpha1.SlotStatus{pcSlot(holding("b2", laptop))},
			want: v1alpha1.SlotOutcomeChangedSince, wantState: v1alpha1.SlotRegistered, wantBinding: "b2",
		},
		"nothing was bound": {
			release: reset(sawNone), before: []v1alpha1.SlotStatus{pcSlot()},
			want: v1alpha1.SlotOutcomeNotBound, wantState: v1alpha1.SlotUnregistered,
		},
		"nothing was ever written": {
			release: reset(sawNone),
			want:    v1alpha1.SlotOutcomeNotBound, wantState: v1alpha1.SlotUnregistered,
		},
		"nothing was bound, and the next device is named": {
			release: reset(sawNone, next(tablet)), before: []v1alpha1.SlotStatus{pcSlot()},
			want: v1alpha1.SlotOutcomeReserved, wantState: v1alpha1.SlotReserved, wantFor: tablet,
		},
		"a reservation is replaced": {
			release: reset(sawNone, next(tablet)), before: []v1alpha1.SlotStatus{pcSlot(reservedFor(laptop))},
			want: v1alpha1.SlotOutcomeReserved, wantState: v1alpha1.SlotReserved, wantFor: tablet,
		},
		"a reservation is withdrawn": {
			release: reset(sawNone), before: []v1alpha1.SlotStatus{pcSlot(reservedFor(laptop))},
			want: v1alpha1.SlotOutcomeUnreserved, wantState: v1alpha1.SlotUnregistered,
		},
		"another reset cleared it meanwhile": {
			release: reset(), before: []v1alpha1.SlotStatus{pcSlot()},
			want: v1alpha1.SlotOutcomeNotBound, wantState: v1alpha1.SlotUnregistered,
		},
		"another reset cleared it meanwhile, and its reservation stays": {
			release: reset(), before: []v1alpha1.SlotStatus{pcSlot(reservedFor(tablet))},
			want: v1alpha1.SlotOutcomeNotBound, wantState: v1alpha1.SlotReserved, wantFor: tablet,
		},
		"done before the manager stopped: the same object resumes": {
			release: reset(), before: []v1alpha1.SlotStatus{pcSlot(holding("b2", tablet), handled("lost-laptop", "uid-1", v1alpha1.SlotOutcomeCleared, "b1"))},
			want: v1alpha1.SlotOutcomeCleared, wantCleared: "b1", wantState: v1alpha1.SlotRegistered, wantBinding: "b2",
		},
		"done by an earlier object of the name": {
			release: reset(), before: []v1alpha1.SlotStatus{pcSlot(holding("b1", laptop), handled("lost-laptop", "uid-0", v1alpha1.SlotOutcomeCleared, "b0"))},
			want: v1alpha1.SlotOutcomeAlreadyHandled, wantState: v1alpha1.SlotRegistered, wantBinding: "b1",
		},
		"another request was handled": {
			release: reset(), before: []v1alpha1.SlotStatus{pcSlot(holding("b1", laptop), handled("other", "uid-1", v1alpha1.SlotOutcomeCleared, "b0"))},
			want: v1alpha1.SlotOutcomeCleared, wantCleared: "b1", wantState: v1alpha1.SlotUnregistered,
		},
	} {
		t.Run(name, func(t *testing.T) {
			status := v1alpha1.RelayUserStatus{Slots: tc.before}
			outcome, cleared := tc.release.Apply(&status)
			if outcome != tc.want || cleared != tc.wantCleared {
				t.Errorf("%s, %q; want %s, %q", outcome, cleared, tc.want, tc.wantCleared)
			}
			s := binding.Find(&status, v1alpha1.SlotPC)
			id := ""
			if s.Binding != nil {
				id = s.Binding.ID
			}
			if s.State != tc.wantState || id != tc.wantBinding || s.ReservedFor != tc.wantFor {
				t.Errorf("slot is %s, %q, for %q; want %s, %q, for %q", s.State, id, s.ReservedFor, tc.wantState, tc.wantBinding, tc.wantFor)
			}
			if !binding.Handled(&status, v1alpha1.SlotPC, "lost-laptop") {
				t.Error("the slot does not remember the reset")
			}
			// Whatever happened, the same object changes nothing more.
			after := *status.DeepCopy()
			again, clearedAgain := tc.release.Apply(&status)
			if again != outcome || clearedAgain != cleared {
				t.Errorf("again: %s, %q", again, clearedAgain)
			}
			if diff := cmp.Diff(after, status); diff != "" {
				t.Errorf("again (-once +twice):\n%s", diff)
			}
		})
	}
}

func TestReleaseRecords(t *testing.T) {
	status := v1alpha1.RelayUserStatus{Slots: []v1alpha1.SlotStatus{pcSlot(holding("b1", laptop), revoked(tablet), handled("earlier", "uid-0", v1alpha1.SlotOutcomeCleared, "b0"))}}
	reset().Apply(&status)
	want := v1alpha1.RelayUserStatus{Slots: []v1alpha1.SlotStatus{{
		Slot: v1alpha1.SlotPC, State: v1alpha1.SlotUnregistered, LastResetTime: &atNoon,
		Revoked: []v1alpha1.RevokedDevice{
			{Digest: laptop, Time: atNoon, RequestID: "lost-laptop"},
			{Digest: tablet, Time: before, RequestID: "earlier"},
		},
		HandledResets: []v1alpha1.HandledReset{
			{RequestID: "lost-laptop", UID: "uid-1", Time: atNoon, Outcome: v1alpha1.SlotOutcomeCleared, BindingID: "b1"},
			{RequestID: "earlier", UID: "uid-0", Time: before, Outcome: v1alpha1.SlotOutcomeCleared, BindingID: "b0"},
		},
	}}}
	if diff := cmp.Diff(want, status); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
}

// TestRevocation: which devices may not come back after a reset of the PC.
func TestRevocation(t *testing.T) {
	mobile := func(digests ...v1alpha1.DeviceDigest) v1alpha1.SlotStatus {
		s := pcSlot(revoked(digests...))
		s.Slot = v1alpha1.SlotMobile
		return s
	}
	for name, tc := range map[string]struct {
		release    binding.Release
		before     []v1alpha1.SlotStatus
		wantPC     []v1alpha1.DeviceDigest
		wantMobile []v1alpha1.DeviceDigest
	}{
		"Deny: the removed device": {
			reset(), []v1alpha1.SlotStatus{pcSlot(holding("b1", laptop))}, []v1alpha1.DeviceDigest{laptop}, nil,
		},
		"Allow: none": {
			reset(func(r *binding.Release) { r.PreviousDevice = v1alpha1.PreviousDeviceAllow }),
			[]v1alpha1.SlotStatus{pcSlot(holding("b1", laptop))}, nil, nil,
		},
		"left out: as Deny": {
			reset(func(r *binding.Release) { r.PreviousDevice = "" }),
			[]v1alpha1.SlotStatus{pcSlot(holding("b1", laptop))}, []v1alpha1.DeviceDigest{laptop}, nil,
		},
		"once each": {
			reset(), []v1alpha1.SlotStatus{pcSlot(holding("b1", laptop), revoked(tablet, laptop))}, []v1alpha1.DeviceDigest{laptop, tablet}, nil,
		},
		"the named next device is let back in": {
			reset(func(r *binding.Release) { r.NextDevice = tablet }),
			[]v1alpha1.SlotStatus{pcSlot(holding("b1", laptop), revoked(phone, tablet))}, []v1alpha1.DeviceDigest{laptop, phone}, nil,
		},
		"from whichever slot": {
			reset(func(r *binding.Release) { r.NextDevice = tablet }),
			[]v1alpha1.SlotStatus{pcSlot(holding("b1", laptop)), mobile(tablet, phone)}, []v1alpha1.DeviceDigest{laptop}, []v1alpha1.DeviceDigest{phone},
		},
		"also the removed device itself": {
			reset(func(r *binding.Release) { r.NextDevice = laptop }),
			[]v1alpha1.SlotStatus{pcSlot(holding("b1", laptop))}, nil, nil,
		},
		"not by a reset that left the slot alone": {
			reset(func(r *binding.Release) { r.NextDevice = tablet }),
			[]v1alpha1.SlotStatus{pcSlot(holding("b2", laptop), revoked(tablet))}, []v1alpha1.DeviceDigest{tablet}, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			status := v1alpha1.RelayUserStatus{Slots: tc.before}
			tc.release.Apply(&status)
			for slot, want := range map[v1alpha1.Slot][]v1alpha1.DeviceDigest{v1alpha1.SlotPC: tc.wantPC, v1alpha1.SlotMobile: tc.wantMobile} {
				var got []v1alpha1.DeviceDigest
				if s := binding.Find(&status, slot); s != nil {
					for _, d := range s.Revoked {
						got = append(got, d.Digest)
					}
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("revoked in %s (-want +got):\n%s", slot, diff)
				}
			}
		})
	}
}

// TestListsAreBounded: the newest entries are kept, and as many as the CRD takes.
func TestListsAreBounded(t *testing.T) {
	const resets = 100
	var status v1alpha1.RelayUserStatus
	for i := range resets {
		binding.Bind(&status, v1alpha1.SlotPC, *bound(fmt.Sprint("b", i), v1alpha1.DeviceDigest(fmt.Sprint("k1:", i))))
		r := reset(func(r *binding.Release) { r.BindingID, r.RequestID = fmt.Sprint("b", i), fmt.Sprint("r", i) })
		if outcome, _ := r.Apply(&status); outcome != v1alpha1.SlotOutcomeCleared {
			t.Fatalf("reset %d: %s", i, outcome)
		}
	}
	s := binding.Find(&status, v1alpha1.SlotPC)
	if n := len(s.Revoked); n != v1alpha1.MaxRevokedDevices || s.Revoked[0].Digest != "k1:99" || s.Revoked[n-1].Digest != "k1:68" {
		t.Errorf("%d revoked, %s to %s", n, s.Revoked[0].Digest, s.Revoked[n-1].Digest)
	}
	if n := len(s.HandledResets); n != v1alpha1.MaxHandledResets || s.HandledResets[0].RequestID != "r99" || s.HandledResets[n-1].RequestID != "r36" {
		t.Errorf("%d handled, %s to %s", n, s.HandledResets[0].RequestID, s.HandledResets[n-1].RequestID)
	}
}

func TestBind(t *testing.T) {
	status := v1alpha1.RelayUserStatus{Slots: []v1alpha1.SlotStatus{pcSlot(reservedFor(laptop), revoked(tablet), handled("r", "u", v1alpha1.SlotOutcomeReserved, ""))}}
	want := pcSlot(holding("b1", laptop), revoked(tablet), handled("r", "u", v1alpha1.SlotOutcomeReserved, ""))
	binding.Bind(&status, v1alpha1.SlotPC, *bound("b1", laptop))
	if diff := cmp.Diff([]v1alpha1.SlotStatus{want}, status.Slots); diff != "" {
		t.Errorf("slots (-want +got):\n%s", diff)
	}
}

// TestOrderOfSlots: pc is before mobile whoever writes first.
func TestOrderOfSlots(t *testing.T) {
	var status v1alpha1.RelayUserStatus
	binding.Bind(&status, v1alpha1.SlotMobile, *bound("b1", phone))
	binding.Ensure(&status, v1alpha1.SlotPC)
	binding.Ensure(&status, v1alpha1.SlotMobile)
	want := []v1alpha1.SlotStatus{pcSlot(), {Slot: v1alpha1.SlotMobile, State: v1alpha1.SlotRegistered, Binding: bound("b1", phone)}}
	if diff := cmp.Diff(want, status.Slots); diff != "" {
		t.Errorf("slots (-want +got):\n%s", diff)
	}
}

func TestDrop(t *testing.T) {
	for name, tc := range map[string]struct {
		slot v1alpha1.SlotStatus
		kept bool
	}{
		"nothing to remember": {pcSlot(), false},
		"registered":          {pcSlot(holding("b1", laptop)), true},
		"reserved":            {pcSlot(reservedFor(laptop)), true},
		"a revoked device":    {pcSlot(revoked(laptop)), true},
		"a handled reset":     {pcSlot(handled("r", "u", v1alpha1.SlotOutcomeNotBound, "")), true},
	} {
		t.Run(name, func(t *testing.T) {
			status := v1alpha1.RelayUserStatus{Slots: []v1alpha1.SlotStatus{tc.slot}}
			binding.Drop(&status, v1alpha1.SlotMobile)
			binding.Drop(&status, v1alpha1.SlotPC)
			if kept := binding.Find(&status, v1alpha1.SlotPC) != nil; kept != tc.kept {
				t.Errorf("kept %t, want %t", kept, tc.kept)
			}
		})
	}
}

func TestSeen(t *testing.T) {
	seenBefore := func(s *v1alpha1.SlotStatus) { s.Binding.LastSeenTime = &before }
	for name, tc := range map[string]struct {
		slot v1alpha1.SlotStatus
		id   string
		at   time.Time
		want *metav1.Time
	}{
		"for the first time": {pcSlot(holding("b1", laptop)), "b1", noon, &atNoon},
		"again":              {pcSlot(holding("b1", laptop), seenBefore), "b1", noon, &atNoon},
		"not backwards":      {pcSlot(holding("b1", laptop), seenBefore), "b1", before.Add(-time.Hour), &before},
		"another binding":    {pcSlot(holding("b2", laptop)), "b1", noon, nil},
		"no id":              {pcSlot(holding("b1", laptop)), "", noon, nil},
	} {
		t.Run(name, func(t *testing.T) {
			status := v1alpha1.RelayUserStatus{Slots: []v1alpha1.SlotStatus{tc.slot}}
			binding.Seen(&status, v1alpha1.SlotPC, tc.id, tc.at)
			if diff := cmp.Diff(tc.want, status.Slots[0].Binding.LastSeenTime); diff != "" {
				t.Errorf("last seen (-want +got):\n%s", diff)
			}
		})
	}
	var status v1alpha1.RelayUserStatus
	binding.Seen(&status, v1alpha1.SlotPC, "b1", noon)
	status.Slots = []v1alpha1.SlotStatus{pcSlot()}
	binding.Seen(&status, v1alpha1.SlotPC, "b1", noon)
	if diff := cmp.Diff([]v1alpha1.SlotStatus{pcSlot()}, status.Slots); diff != "" {
		t.Errorf("a slot that holds nothing (-want +got):\n%s", diff)
	}
}
