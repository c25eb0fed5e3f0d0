package v1alpha1_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tegata-dev/tegata/api/v1alpha1"
)

// maxObjectBytes is what the fullest object may take: far below the 1.5 MiB that etcd takes, and little
// enough to be watched by thousands.
const maxObjectBytes = 192 << 10

// at is a time as the API server stores it: whole seconds.
var at = metav1.NewTime(time.Date(2026, 7, 1, 9, 30, 0, 0, time.Local))

// fullUserStatus has every list and every string as long as it may be.
func fullUserStatus() v1alpha1.RelayUserStatus {
	status := v1alpha1.RelayUserStatus{
		ObservedGeneration: 7,
		LastFailure:        v1alpha1.LastFailure{Reason: v1alpha1.ReasonAdministratorNotPermitted, Time: &at},
		FailureCount:       1 << 40, LastLoginTime: &at,
		EndedSessions: v1alpha1.EndedSessions{UpTo: times("0", 26)},
	}
	for i := range v1alpha1.MaxEndedSessions {
		status.EndedSessions.IDs = append(status.EndedSessions.IDs, fmt.Sprintf("01%024d", i))
	}
	for _, slot := range []v1alpha1.Slot{v1alpha1.SlotPC, v1alpha1.SlotMobile} {
		s := v1alpha1.SlotStatus{
			Slot: slot, State: v1alpha1.SlotRegistered, ReservedFor: v1alpha1.DeviceDigest(times("d", 60)), LastResetTime: &at,
			Binding: &v1alpha1.Binding{
				ID: times("i", 64), Digest: v1alpha1.DeviceDigest(times("d", 60)), Kind: v1alpha1.FingerprintOpaque,
				RegisteredTime: at, RegisteredFrom: times("f", 45), LastSeenTime: &at,
			},
		}
		for range v1alpha1.MaxRevokedDevices {
			s.Revoked = append(s.Revoked, v1alpha1.RevokedDevice{Digest: v1alpha1.DeviceDigest(times("d", 60)), Time: at, RequestID: times("r", 253)})
		}
		for range v1alpha1.MaxHandledResets {
			s.HandledResets = append(s.HandledResets, v1alpha1.HandledReset{
				RequestID: times("r", 253), UID: times("u", 64), Time: at, Outcome: v1alpha1.SlotOutcomeAlreadyHandled, BindingID: times("i", 64),
			})
		}
		status.Slots = append(status.Slots, s)
	}
	for range 50 {
		status.RecentFailures = append(status.RecentFailures, v1alpha1.LoginFailure{
			Reason: v1alpha1.ReasonAdministratorNotPermitted, FirstTime: at, LastTime: at, Count: 1 << 40, Slot: v1alpha1.SlotMobile,
			Program: v1alpha1.ProgramViewer, SourceAddress: times("a", 45), MACAddress: times("m", 17),
			Digest: v1alpha1.DeviceDigest(times("d", 60)), Sidecar: times("s", 253), CorrelationID: times("c", 64),
		})
	}
	for i := range 8 {
		status.Conditions = append(status.Conditions, metav1.Condition{
			Type: fmt.Sprintf("Condition%d", i), Status: metav1.ConditionTrue, Reason: "Reason", Message: times("m", 256), LastTransitionTime: at, ObservedGeneration: 7,
		})
	}
	return status
}

func fullResetStatus() v1alpha1.DeviceResetStatus {
	status := v1alpha1.DeviceResetStatus{
		ObservedGeneration: 1, CompletionTime: &at, Users: 100000, Processed: 100000, Cleared: 1, Reserved: 2, Unreserved: 6, NotBound: 3,
		AlreadyHandled: 4, ChangedSince: 5, Cursor: times("c", 253),
		Conditions: []metav1.Condition{{Type: v1alpha1.ConditionComplete, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonClearing, LastTransitionTime: at}},
	}
	for range v1alpha1.MaxNotedBindings {
		status.Noted = append(status.Noted, v1alpha1.NotedBinding{User: times("u", 253), UID: times("u", 64), Slot: v1alpha1.SlotMobile, BindingID: times("i", 64)})
	}
	for range v1alpha1.MaxSlotResults {
		status.Results = append(status.Results, v1alpha1.SlotResult{User: times("u", 253), Slot: v1alpha1.SlotMobile, Outcome: v1alpha1.SlotOutcomeAlreadyHandled, BindingID: times("i", 64)})
	}
	for i := range v1alpha1.MaxEnforcements {
		status.Enforcement = append(status.Enforcement, v1alpha1.Enforcement{Server: fmt.Sprintf("%0253d", i), ResourceVersion: times("9", 32)})
	}
	return status
}

// TestFullestUser: the CRD has every field of the Go types and admits them at their bounds, the object
// stays small, and its spec can still be changed.
func TestFullestUser(t *testing.T) {
	k := newKubectl(t)
	k.mustApply("RelayUser", "taro", `{serverRef: {name: asp1}}`, "created")
	setStatus(k, get(k, &v1alpha1.RelayUser{}, "taro"), func(u *v1alpha1.RelayUser) { u.Status = fullUserStatus() })
	stored := get(k, &v1alpha1.RelayUser{}, "taro")
	if diff := cmp.Diff(fullUserStatus(), stored.Status); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
	checkSize(t, stored)
	k.mustApply("RelayUser", "taro", `{serverRef: {name: asp1}, memo: changed}`, "configured")
	setStatus(k, get(k, &v1alpha1.RelayUser{}, "taro"), func(u *v1alpha1.RelayUser) { u.Status.FailureCount++ })
	stored = get(k, &v1alpha1.RelayUser{}, "taro")
	if want := fullUserStatus().FailureCount + 1; stored.Status.FailureCount != want || stored.Spec.Memo != "changed" {
		t.Errorf("failureCount %d, memo %q; want %d and changed", stored.Status.FailureCount, stored.Spec.Memo, want)
	}
}

func TestFullestReset(t *testing.T) {
	k := newKubectl(t)
	k.mustApply("DeviceReset", "all", `{selector: {matchLabels: {a: b}}, slots: [pc, mobile]}`, "created")
	setStatus(k, get(k, &v1alpha1.DeviceReset{}, "all"), func(r *v1alpha1.DeviceReset) { r.Status = fullResetStatus() })
	stored := get(k, &v1alpha1.DeviceReset{}, "all")
	if diff := cmp.Diff(fullResetStatus(), stored.Status); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
	checkSize(t, stored)
}

func TestFullestServer(t *testing.T) {
	k := newKubectl(t)
	k.mustApply("RelayServer", "asp1", `{host: a}`, "created")
	want := v1alpha1.RelayServerStatus{
		ObservedGeneration: 1, FingerprintKeyID: times("k", 16), LiveSidecars: 1, Users: 2, BoundDevices: 3,
		Conditions: []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonServerReady, LastTransitionTime: at}},
	}
	want.History = &v1alpha1.HistoryStatus{LostRecords: 1 << 40, LastLossTime: &at, WaitingRecords: 1 << 40}
	for i := range v1alpha1.MaxSidecarLosses {
		want.History.Sidecars = append(want.History.Sidecars, v1alpha1.SidecarLoss{Lease: fmt.Sprintf("%0253d", i), LostRecords: 1 << 32})
	}
	setStatus(k, get(k, &v1alpha1.RelayServer{}, "asp1"), func(s *v1alpha1.RelayServer) { s.Status = want })
	stored := get(k, &v1alpha1.RelayServer{}, "asp1")
	if diff := cmp.Diff(want, stored.Status); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
	checkSize(t, stored)
}

func checkSize(t *testing.T, object any) {
	t.Helper()
	content, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	if len(content) > maxObjectBytes {
		t.Errorf("the fullest %T takes %d bytes, want at most %d", object, len(content), maxObjectBytes)
	}
}
