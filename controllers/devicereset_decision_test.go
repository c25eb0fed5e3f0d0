package controllers

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/liveness"
)

func TestCompleteReason(t *testing.T) {
	for name, tc := range map[string]struct {
		status v1alpha1.DeviceResetStatus
		want   string
	}{
		"a device was removed":            {v1alpha1.DeviceResetStatus{Cleared: 1, NotBound: 5}, v1alpha1.ReasonCleared},
		"a slot was reserved":             {v1alpha1.DeviceResetStatus{Reserved: 1}, v1alpha1.ReasonReserved},
		"a reservation was lifted":        {v1alpha1.DeviceResetStatus{Unreserved: 1, NotBound: 5, AlreadyHandled: 5}, v1alpha1.ReasonUnreserved},
		"one lifted, one device removed":  {v1alpha1.DeviceResetStatus{Unreserved: 1, Cleared: 1}, v1alpha1.ReasonCleared},
		"nothing was bound":               {v1alpha1.DeviceResetStatus{NotBound: 2}, v1alpha1.ReasonNothingToClear},
		"all had been handled":            {v1alpha1.DeviceResetStatus{AlreadyHandled: 2}, v1alpha1.ReasonAlreadyHandled},
		"some had been handled":           {v1alpha1.DeviceResetStatus{AlreadyHandled: 1, NotBound: 1}, v1alpha1.ReasonNothingToClear},
		"some handled, some cleared":      {v1alpha1.DeviceResetStatus{AlreadyHandled: 1, Cleared: 1}, v1alpha1.ReasonCleared},
		"another registered, none before": {v1alpha1.DeviceResetStatus{ChangedSince: 1}, v1alpha1.ReasonNothingToClear},
	} {
		t.Run(name, func(t *testing.T) {
			if got := completeReason(&tc.status); got != tc.want {
				t.Errorf("%s, want %s", got, tc.want)
			}
		})
	}
}

func TestCompleteMessage(t *testing.T) {
	one := v1alpha1.DeviceResetSpec{UserRef: &v1alpha1.LocalReference{Name: "taro"}, Slots: []v1alpha1.Slot{v1alpha1.SlotMobile}}
	with := func(spec v1alpha1.DeviceResetSpec, change func(*v1alpha1.DeviceResetSpec)) v1alpha1.DeviceResetSpec {
		change(&spec)
		return spec
	}
	result := func(slot v1alpha1.Slot, what v1alpha1.SlotOutcome) v1alpha1.SlotResult {
		return v1alpha1.SlotResult{User: "taro", Slot: slot, Outcome: what}
	}
	cleared := v1alpha1.DeviceResetStatus{Cleared: 1, Results: []v1alpha1.SlotResult{result(v1alpha1.SlotMobile, v1alpha1.SlotOutcomeCleared)}}
	unreserved := v1alpha1.DeviceResetStatus{Unreserved: 1, Results: []v1alpha1.SlotResult{result(v1alpha1.SlotMobile, v1alpha1.SlotOutcomeUnreserved)}}
	reservedOnly := &v1alpha1.RelayServer{Spec: v1alpha1.RelayServerSpec{Enrollment: v1alpha1.EnrollmentReservedOnly}}
	for name, tc := range map[string]struct {
		spec   v1alpha1.DeviceResetSpec
		status v1alpha1.DeviceResetStatus
		server *v1alpha1.RelayServer
		want   string
	}{
		"one slot": {one, cleared, nil, "cleared mobile of taro; any other device with the right password may register next"},
		"the removed device may come back": {
			with(one, func(s *v1alpha1.DeviceResetSpec) { s.PreviousDevice = v1alpha1.PreviousDeviceAllow }), cleared, nil,
			"cleared mobile of taro; any device with the right password may register next",
		},
		"for one device": {
			with(one, func(s *v1alpha1.DeviceResetSpec) { s.NextDevice = "k1:abc" }), cleared, nil,
			"cleared mobile of taro; only the device k1:abc may register next",
		},
		"on a server for reserved devices": {one, cleared, reservedOnly, "cleared mobile of taro; no device may register until a DeviceReset names it as nextDevice"},
		"two slots, one of them free": {
			one, v1alpha1.DeviceResetStatus{Cleared: 1, NotBound: 1, Results: []v1alpha1.SlotResult{
				result(v1alpha1.SlotPC, v1alpha1.SlotOutcomeCleared), result(v1alpha1.SlotMobile, v1alpha1.SlotOutcomeNotBound),
			}}, nil,
			"cleared pc of taro; mobile of taro held no device; any other device with the right password may register next",
		},
		"another device registered meanwhile": {
			one, v1alpha1.DeviceResetStatus{ChangedSince: 1, Results: []v1alpha1.SlotResult{result(v1alpha1.SlotMobile, v1alpha1.SlotOutcomeChangedSince)}}, nil,
			"another device registered in mobile of taro meanwhile and is left alone",
		},
		"many": {
			v1alpha1.DeviceResetSpec{Selector: &v1alpha1.UserSelector{}},
			v1alpha1.DeviceResetStatus{Processed: 10, Cleared: 7, NotBound: 2, AlreadyHandled: 1}, nil,
			"cleared 7 devices of 10 users; 2 slots held no device; 1 slot had handled this request before",
		},
		"many, of which there is one": {
			v1alpha1.DeviceResetSpec{Selector: &v1alpha1.UserSelector{}},
			v1alpha1.DeviceResetStatus{Processed: 1, Cleared: 1, Unreserved: 1, NotBound: 1, ChangedSince: 1}, nil,
			"cleared 1 device of 1 user; 1 slot was reserved and is not any more; 1 slot held no device; " +
				"1 slot was left alone because another device registered or the user was deleted meanwhile",
		},
		"many, and all kinds": {
			v1alpha1.DeviceResetSpec{Selector: &v1alpha1.UserSelector{}},
			v1alpha1.DeviceResetStatus{Processed: 9, Unreserved: 2, AlreadyHandled: 2, ChangedSince: 2}, nil,
			"cleared 0 devices of 9 users; 2 slots were reserved and are not any more; 2 slots had handled this request before; " +
				"2 slots were left alone because another device registered or the user was deleted meanwhile",
		},
		"a reservation is lifted": {
			one, unreserved, nil,
			"mobile of taro was reserved for one device and is not any more; any device that no reset removed may register next, with the right password",
		},
		"a reservation is lifted, on a server for reserved devices": {
			one, unreserved, reservedOnly,
			"mobile of taro was reserved for one device and is not any more; no device may register until a DeviceReset names it as nextDevice",
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := completeMessage(&v1alpha1.DeviceReset{Spec: tc.spec}, &tc.status, tc.server)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("message (-want +got):\n%s", diff)
			}
		})
	}
}

func TestClearingMessage(t *testing.T) {
	for want, status := range map[string]v1alpha1.DeviceResetStatus{
		"freeing slots: 0 of 1 user done":  {Users: 1},
		"freeing slots: 1 of 2 users done": {Users: 2, Processed: 1},
	} {
		if diff := cmp.Diff(want, clearingMessage(&status)); diff != "" {
			t.Errorf("message (-want +got):\n%s", diff)
		}
	}
}

func TestWithinLimits(t *testing.T) {
	for name, tc := range map[string]struct {
		users, servers int
		want           string
	}{
		"at both limits":   {10, v1alpha1.MaxEnforcements, ""},
		"one user more":    {11, 1, v1alpha1.ReasonTooManyUsers},
		"one server more":  {10, v1alpha1.MaxEnforcements + 1, v1alpha1.ReasonTooManyServers},
		"nobody, nowhere":  {0, 0, ""},
		"too many of each": {11, v1alpha1.MaxEnforcements + 1, v1alpha1.ReasonTooManyUsers},
	} {
		t.Run(name, func(t *testing.T) {
			got := ""
			if failed, ok := errors.AsType[*failure](withinLimits(10)(tc.users, tc.servers)); ok {
				got = failed.reason
			}
			if got != tc.want {
				t.Errorf("%q, want %q", got, tc.want)
			}
		})
	}
}

// The API server lets no such selector in; one that got in all the same must not pick everybody.
func TestSelectorThatIsNone(t *testing.T) {
	for name, match := range map[string]map[string]v1alpha1.LabelValue{
		"a key with a space":   {"a b": "c"},
		"a value with a slash": {"a": "b/c"},
	} {
		t.Run(name, func(t *testing.T) {
			reset := &v1alpha1.DeviceReset{Spec: v1alpha1.DeviceResetSpec{Selector: &v1alpha1.UserSelector{MatchLabels: match}}}
			_, err := (&resetReconciler{}).pick(t.Context(), reset, unlimited)
			var failed *failure
			if !errors.As(err, &failed) || failed.reason != v1alpha1.ReasonInvalidSelector {
				t.Errorf("%v, want %s", err, v1alpha1.ReasonInvalidSelector)
			}
		})
	}
}

func TestByUser(t *testing.T) {
	noted := func(users ...string) []v1alpha1.NotedBinding {
		list := make([]v1alpha1.NotedBinding, len(users))
		for i, user := range users {
			list[i].User = user
		}
		return list
	}
	for name, tc := range map[string]struct{ noted, want string }{
		"none":            {"", ""},
		"one":             {"a", "a"},
		"one, two slots":  {"a a", "aa"},
		"two":             {"a b", "a b"},
		"two, four slots": {"a a b b", "aa bb"}, //nolint:dupword // these are names
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, group := range byUser(noted(strings.Fields(tc.noted)...)) {
				users := ""
				for _, n := range group {
					users += n.User
				}
				got = append(got, users)
			}
			if diff := cmp.Diff(tc.want, strings.Join(got, " ")); diff != "" {
				t.Errorf("groups (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRequireKeepsTheNewest(t *testing.T) {
	var list []v1alpha1.Enforcement
	for _, write := range []struct{ server, version string }{
		{"a", "9"}, {"b", "5"}, {"a", "10"}, {"a", "2"}, {"b", "5"},
	} {
		list = require(list, write.server, write.version)
	}
	want := []v1alpha1.Enforcement{{Server: "a", ResourceVersion: "10"}, {Server: "b", ResourceVersion: "5"}}
	if diff := cmp.Diff(want, list); diff != "" {
		t.Errorf("enforcement (-want +got):\n%s", diff)
	}
}

func TestPendingMessageIsStable(t *testing.T) {
	sidecar := func(name string, remaining time.Duration) liveness.Sidecar {
		seconds := int32(300)
		return liveness.Sidecar{Name: name, Remaining: remaining, Lease: &coordinationv1.Lease{
			Spec: coordinationv1.LeaseSpec{LeaseDurationSeconds: &seconds},
		}}
	}
	var first, later []liveness.Sidecar
	for i := range 5 {
		first = append(first, sidecar(fmt.Sprintf("pod-%d", i), time.Minute))
		later = append([]liveness.Sidecar{sidecar(fmt.Sprintf("pod-%d", i), time.Second)}, later...)
	}
	want := "freed; waiting for pod-0, pod-1, pod-2, 2 more to observe it, or to have been silent for 5m0s"
	for name, pending := range map[string][]liveness.Sidecar{"first": first, "later": later} {
		if diff := cmp.Diff(want, pendingMessage(pending)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestAskedByIsQuoted(t *testing.T) {
	reset := &v1alpha1.DeviceReset{Spec: v1alpha1.DeviceResetSpec{RequestedBy: "eve\n(requested by \"root\")"}}
	if got, want := askedBy(reset), ` (requested by "eve\n(requested by \"root\")")`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestOutcomeOfConflictIsNoError(t *testing.T) {
	result, err := outcome(time.Hour, fmt.Errorf("patch: %w", conflict()))
	if err != nil || result.RequeueAfter != conflictDelay {
		t.Errorf("%v, %v; want to look again after %s", result, err, conflictDelay)
	}
	if _, err := outcome(0, errors.New("other")); err == nil {
		t.Error("another error was lost")
	}
}

func TestEarliest(t *testing.T) {
	for _, tc := range []struct{ a, b, want time.Duration }{{0, 0, 0}, {0, 5, 5}, {5, 0, 5}, {3, 5, 3}, {5, 3, 3}} {
		if got := earliest(tc.a, tc.b); got != tc.want {
			t.Errorf("earliest(%d, %d) is %d, want %d", tc.a, tc.b, got, tc.want)
		}
	}
}

func TestIndexesOfResets(t *testing.T) {
	done := metav1.NewTime(noon)
	byUser := v1alpha1.DeviceReset{Spec: v1alpha1.DeviceResetSpec{UserRef: &v1alpha1.LocalReference{Name: "taro"}}}
	bySelector := v1alpha1.DeviceReset{Spec: v1alpha1.DeviceResetSpec{Selector: &v1alpha1.UserSelector{}}}
	change := func(r v1alpha1.DeviceReset, mutate func(*v1alpha1.DeviceReset)) v1alpha1.DeviceReset {
		mutate(&r)
		return r
	}
	for name, tc := range map[string]struct {
		reset                            v1alpha1.DeviceReset
		wantUser, wantSelect, wantServer []string
	}{
		"for a user":     {byUser, []string{"taro"}, nil, []string{}},
		"for a selector": {bySelector, nil, []string{selecting}, []string{}},
		"for a selector, under way": {
			change(bySelector, func(r *v1alpha1.DeviceReset) { r.Status.Users = 3 }), nil, nil, []string{},
		},
		"enforcing": {
			change(byUser, func(r *v1alpha1.DeviceReset) {
				r.Status.Enforcement = []v1alpha1.Enforcement{{Server: "asp1"}, {Server: "asp2"}}
			}),
			[]string{"taro"}, nil, []string{"asp1", "asp2"},
		},
		"finished": {
			change(byUser, func(r *v1alpha1.DeviceReset) {
				r.Status.Enforcement = []v1alpha1.Enforcement{{Server: "asp1"}}
				r.Status.CompletionTime = &done
			}), nil, nil, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := [][]string{resetUserKeys(&tc.reset), resetSelectingKeys(&tc.reset), resetEnforcingKeys(&tc.reset)}
			if diff := cmp.Diff([][]string{tc.wantUser, tc.wantSelect, tc.wantServer}, got); diff != "" {
				t.Errorf("keys (-want +got):\n%s", diff)
			}
		})
	}
}

func conflict() error {
	return apierrors.NewConflict(schema.GroupResource{Group: "tegata.dev", Resource: "relayusers"}, "taro", errors.New("changed"))
}
