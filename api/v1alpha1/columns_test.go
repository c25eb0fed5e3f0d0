package v1alpha1_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tegata-dev/tegata/api/v1alpha1"
)

// ago is a time that kubectl shows as an age, whatever the test's own speed.
func ago(d time.Duration) *metav1.Time { return new(metav1.NewTime(time.Now().Add(-d))) }

// condition is one that is True.
func condition(kind, reason, message string) metav1.Condition {
	return metav1.Condition{Type: kind, Status: metav1.ConditionTrue, Reason: reason, Message: message, LastTransitionTime: metav1.Now()}
}

// newborn is the age of what the test has just made.
var newborn = regexp.MustCompile(`\b\d{1,2}s\b`)

// table is kubectl's table with columns one space apart, and the age of the newborn as NEW.
func table(out string) []string {
	var rows []string
	for line := range strings.Lines(out) {
		rows = append(rows, newborn.ReplaceAllString(strings.Join(strings.Fields(line), " "), "NEW"))
	}
	return rows
}

func TestRelayUserColumns(t *testing.T) {
	k := newKubectl(t)
	k.mustApply("RelayUser", "taro", `{serverRef: {name: asp1}, programs: {viewer: {mobile: true, combined: true}}}`, "created")
	k.mustApply("RelayUser", "hanako", `{serverRef: {name: asp2}, userName: 山田花子}`, "created")
	setStatus(k, get(k, &v1alpha1.RelayUser{}, "taro"), func(u *v1alpha1.RelayUser) {
		u.Status.Conditions = []metav1.Condition{
			condition(v1alpha1.ConditionResetRecommended, v1alpha1.ReasonResetHelps, "kubectl apply …"),
			condition(v1alpha1.ConditionReady, v1alpha1.ReasonUserReady, "ready"),
		}
		u.Status.Slots = []v1alpha1.SlotStatus{{Slot: v1alpha1.SlotPC, State: v1alpha1.SlotUnregistered}, boundSlot(v1alpha1.SlotMobile)}
		u.Status.RecentFailures = []v1alpha1.LoginFailure{
			{Reason: v1alpha1.ReasonDeviceMismatch, FirstTime: *ago(20 * time.Hour), LastTime: *ago(10*time.Hour + time.Minute), Count: 3, SourceAddress: "203.0.113.7"},
			{Reason: v1alpha1.ReasonPasswordMismatch, FirstTime: *ago(20 * time.Hour), LastTime: *ago(20 * time.Hour), Count: 1, SourceAddress: "198.51.100.1"},
		}
		u.Status.LastFailure = v1alpha1.LastFailure{Reason: v1alpha1.ReasonDeviceMismatch, Time: ago(10*time.Hour + time.Minute)}
		u.Status.FailureCount = 4
		u.Status.LastLoginTime = ago(12*24*time.Hour + time.Hour)
	})

	want := []string{
		"NAME SERVER READY PC MOBILE LAST-FAILURE FAILED LAST-LOGIN AGE",
		"hanako asp2 NEW", // nothing has been written of her yet
		"taro asp1 True Unregistered Registered DeviceMismatch 10h 12d NEW",
	}
	if diff := cmp.Diff(want, table(k.run("", "get", "ru"))); diff != "" {
		t.Errorf("kubectl get ru (-want +got):\n%s", diff)
	}
	want = []string{
		"NAME SERVER READY PC MOBILE LAST-FAILURE FAILED LAST-LOGIN SOURCE COUNT AGE",
		"taro asp1 True Unregistered Registered DeviceMismatch 10h 12d 203.0.113.7 4 NEW",
	}
	if diff := cmp.Diff(want, table(k.run("", "get", "ru", "taro", "-o", "wide"))); diff != "" {
		t.Errorf("kubectl get ru taro -o wide (-want +got):\n%s", diff)
	}
	for selector, name := range map[string]string{
		"status.lastFailure.reason=DeviceMismatch":                          "relayuser.tegata.dev/taro\n",
		"status.lastFailure.reason=Throttled":                               "",
		"spec.serverRef.name=asp2":                                          "relayuser.tegata.dev/hanako\n",
		"spec.userName=山田花子":                                                "relayuser.tegata.dev/hanako\n",
		"spec.serverRef.name=asp1,status.lastFailure.reason=DeviceMismatch": "relayuser.tegata.dev/taro\n",
	} {
		if got := k.run("", "get", "relayusers", "--field-selector", selector, "-o", "name"); got != name {
			t.Errorf("users with %s: %q, want %q", selector, got, name)
		}
	}
}

func TestRelayServerColumns(t *testing.T) {
	k := newKubectl(t)
	k.mustApply("RelayServer", "asp1", `{host: asp1.example.com}`, "created")
	setStatus(k, get(k, &v1alpha1.RelayServer{}, "asp1"), func(s *v1alpha1.RelayServer) {
		s.Status = v1alpha1.RelayServerStatus{
			Conditions: []metav1.Condition{
				condition(v1alpha1.ConditionReady, v1alpha1.ReasonServerReady, "ready"),
				condition(v1alpha1.ConditionRADIUSReady, v1alpha1.ReasonRADIUSSecretsReady, "ready"),
			},
			LiveSidecars: 3, Users: 120, BoundDevices: 97,
		}
	})
	want := []string{"NAME HOST READY SIDECARS USERS BOUND AGE", "asp1 asp1.example.com True 3 120 97 NEW"}
	if diff := cmp.Diff(want, table(k.run("", "get", "rsv"))); diff != "" {
		t.Errorf("kubectl get rsv (-want +got):\n%s", diff)
	}
	want = []string{
		"NAME HOST READY SIDECARS USERS BOUND ENROLLMENT REASON RADIUS AGE",
		"asp1 asp1.example.com True 3 120 97 FirstLogin ServerReady True NEW",
	}
	if diff := cmp.Diff(want, table(k.run("", "get", "rsv", "-o", "wide"))); diff != "" {
		t.Errorf("kubectl get rsv -o wide (-want +got):\n%s", diff)
	}
}

func TestDeviceResetColumns(t *testing.T) {
	k := newKubectl(t)
	k.mustApply("DeviceReset", "taro-new-phone", `{userRef: {name: taro}, slots: [mobile], requestedBy: admin}`, "created")
	k.mustApply("DeviceReset", "sales", `{selector: {matchLabels: {team: sales}}, slots: [pc, mobile]}`, "created")
	setStatus(k, get(k, &v1alpha1.DeviceReset{}, "taro-new-phone"), func(r *v1alpha1.DeviceReset) {
		r.Status.Cleared = 1
		r.Status.Conditions = []metav1.Condition{condition(v1alpha1.ConditionComplete, v1alpha1.ReasonCleared, "done")}
	})
	k.mustApply("DeviceReset", "hanako-phone", `{userRef: {name: hanako}, slots: [mobile]}`, "created")
	setStatus(k, get(k, &v1alpha1.DeviceReset{}, "hanako-phone"), func(r *v1alpha1.DeviceReset) {
		r.Status.Reserved = 1
		r.Status.Conditions = []metav1.Condition{condition(v1alpha1.ConditionComplete, v1alpha1.ReasonReserved, "done")}
	})
	want := []string{
		"NAME USER SLOTS STATUS CLEARED AGE",
		`hanako-phone hanako ["mobile"] Reserved 0 NEW`,
		`sales ["pc","mobile"] 0 NEW`,
		`taro-new-phone taro ["mobile"] Cleared 1 NEW`,
	}
	if diff := cmp.Diff(want, table(k.run("", "get", "dr"))); diff != "" {
		t.Errorf("kubectl get dr (-want +got):\n%s", diff)
	}
	want = []string{
		"NAME USER SLOTS STATUS CLEARED REQUESTED-BY MESSAGE AGE",
		`taro-new-phone taro ["mobile"] Cleared 1 admin done NEW`,
	}
	if diff := cmp.Diff(want, table(k.run("", "get", "dr", "taro-new-phone", "-o", "wide"))); diff != "" {
		t.Errorf("kubectl get dr -o wide (-want +got):\n%s", diff)
	}
	got := k.run("", "get", "deviceresets", "--field-selector", "spec.userRef.name=taro", "-o", "name")
	if want := "devicereset.tegata.dev/taro-new-phone\n"; got != want {
		t.Errorf("resets of taro: %q, want %q", got, want)
	}
}

func TestCategory(t *testing.T) {
	k := newKubectl(t)
	k.mustApply("RelayServer", "asp1", `{host: a}`, "created")
	k.mustApply("RelayUser", "taro", `{serverRef: {name: asp1}}`, "created")
	k.mustApply("DeviceReset", "taro-new-phone", `{userRef: {name: taro}, slots: [pc]}`, "created")
	want := "devicereset.tegata.dev/taro-new-phone\nrelayserver.tegata.dev/asp1\nrelayuser.tegata.dev/taro\n"
	if got := k.run("", "get", "relay", "-o", "name"); got != want {
		t.Errorf("kubectl get relay: %q, want %q", got, want)
	}
}

// boundSlot is a slot with a device in it.
func boundSlot(slot v1alpha1.Slot) v1alpha1.SlotStatus {
	return v1alpha1.SlotStatus{Slot: slot, State: v1alpha1.SlotRegistered, Binding: &v1alpha1.Binding{
		ID: "B-" + string(slot), Digest: digest, Kind: v1alpha1.FingerprintOpaque, RegisteredTime: *ago(time.Hour), RegisteredFrom: "192.0.2.1",
	}}
}
