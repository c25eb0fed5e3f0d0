package v1alpha1_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tegata-dev/tegata/api/v1alpha1"
)

func duration(d time.Duration) metav1.Duration { return metav1.Duration{Duration: d} }

// defaultServer is what {host: a} means.
func defaultServer() v1alpha1.RelayServerSpec {
	return v1alpha1.RelayServerSpec{
		Host:                "a",
		Enrollment:          v1alpha1.EnrollmentFirstLogin,
		Denial:              v1alpha1.Denial{Code: 293, ResponseTime: duration(time.Second)},
		FailureHistoryLimit: 10,
		Throttle: v1alpha1.Throttle{
			PerUser:   v1alpha1.ThrottleLimit{Failures: 10, Interval: duration(time.Minute)},
			PerSource: v1alpha1.ThrottleLimit{Failures: 100, Interval: duration(time.Minute)},
		},
		Session:           v1alpha1.SessionPolicy{TTL: duration(8 * time.Hour), MaxPerUser: 16, KeyRotation: duration(720 * time.Hour)},
		MinimumDeviceKind: v1alpha1.FingerprintOpaque,
		History:           v1alpha1.HistoryPolicy{Retention: duration(8760 * time.Hour), UnknownUserNames: v1alpha1.UnknownUserNamesOmit},
		MaxStaleness:      duration(5 * time.Minute),
	}
}

func TestRelayServerDefaults(t *testing.T) {
	k := newKubectl(t)
	for name, tc := range map[string]struct {
		spec string
		want func(*v1alpha1.RelayServerSpec)
	}{
		"all":              {`{host: a}`, func(*v1alpha1.RelayServerSpec) {}},
		"rest-of-denial":   {`{host: a, denial: {code: 5}}`, func(s *v1alpha1.RelayServerSpec) { s.Denial.Code = 5 }},
		"rest-of-denial-2": {`{host: a, denial: {responseTime: 2s}}`, func(s *v1alpha1.RelayServerSpec) { s.Denial.ResponseTime = duration(2 * time.Second) }},
		"empty-objects":    {`{host: a, denial: {}, throttle: {}, session: {}}`, func(*v1alpha1.RelayServerSpec) {}},
		"null-is-left-out": {`{host: a, maxStaleness: null, enrollment: null}`, func(*v1alpha1.RelayServerSpec) {}},
		"rest-of-throttle": {`{host: a, throttle: {perUser: {failures: 1, interval: 1h}}}`, func(s *v1alpha1.RelayServerSpec) {
			s.Throttle.PerUser = v1alpha1.ThrottleLimit{Failures: 1, Interval: duration(time.Hour)}
		}},
		"rest-of-history":   {`{host: a, history: {retention: 48h}}`, func(s *v1alpha1.RelayServerSpec) { s.History.Retention = duration(48 * time.Hour) }},
		"fraction-of-hours": {`{host: a, maxStaleness: 0.5h}`, func(s *v1alpha1.RelayServerSpec) { s.MaxStaleness = duration(30 * time.Minute) }},
	} {
		t.Run(name, func(t *testing.T) {
			k := k.in(t)
			k.mustApply("RelayServer", name, tc.spec, "created")
			want := defaultServer()
			tc.want(&want)
			if diff := cmp.Diff(want, get(k, &v1alpha1.RelayServer{}, name).Spec); diff != "" {
				t.Errorf("spec (-want +got):\n%s", diff)
			}
		})
	}
}

// TestRelayUserDefaults: a user who is told nothing of may use the PC viewer and nothing else.
func TestRelayUserDefaults(t *testing.T) {
	k := newKubectl(t)
	k.mustApply("RelayUser", "taro", `{serverRef: {name: asp1}}`, "created")
	stored := get(k, &v1alpha1.RelayUser{}, "taro")
	want := v1alpha1.RelayUserSpec{ServerRef: v1alpha1.LocalReference{Name: "asp1"}, Type: v1alpha1.UserTypeGeneral}
	if diff := cmp.Diff(want, stored.Spec); diff != "" {
		t.Errorf("spec (-want +got):\n%s", diff)
	}
	if got := stored.LoginName(); got != "taro" {
		t.Errorf("login name %q, want the object's name", got)
	}
	k.mustApply("RelayUser", "hanako", `{serverRef: {name: asp1}, userName: 山田花子}`, "created")
	if got := get(k, &v1alpha1.RelayUser{}, "hanako").LoginName(); got != "山田花子" {
		t.Errorf("login name %q, want spec.userName", got)
	}
}

func TestDeviceResetDefaults(t *testing.T) {
	k := newKubectl(t)
	k.mustApply("DeviceReset", "taro-new-phone", `{userRef: {name: taro}, slots: [mobile]}`, "created")
	stored := get(k, &v1alpha1.DeviceReset{}, "taro-new-phone")
	want := v1alpha1.DeviceResetSpec{
		UserRef:               &v1alpha1.LocalReference{Name: "taro"},
		Slots:                 []v1alpha1.Slot{v1alpha1.SlotMobile},
		PreviousDevice:        v1alpha1.PreviousDeviceDeny,
		ActiveDeadlineSeconds: 600,
	}
	if diff := cmp.Diff(want, stored.Spec); diff != "" {
		t.Errorf("spec (-want +got):\n%s", diff)
	}
	if got := stored.EffectiveRequestID(); got != "taro-new-phone" {
		t.Errorf("request id %q, want the object's name", got)
	}
	k.mustApply("DeviceReset", "again", `{userRef: {name: taro}, slots: [mobile], requestID: INC-1}`, "created")
	if got := get(k, &v1alpha1.DeviceReset{}, "again").EffectiveRequestID(); got != "INC-1" {
		t.Errorf("request id %q, want spec.requestID", got)
	}
}

// TestStatusIsNotTheUsers: what a manifest says of status is dropped, on every kind. That no manager has looked is said
// by the generation that was observed: without it, kstatus would take what was just applied for done.
func TestStatusIsNotTheUsers(t *testing.T) {
	k := newKubectl(t)
	for kind, spec := range map[string]string{
		"RelayServer": "{host: a}\nstatus: {users: 5, liveSidecars: 5, boundDevices: 5}",
		"RelayUser":   "{serverRef: {name: asp1}}\nstatus: {failureCount: 5, slots: [{slot: pc, state: Reserved}]}",
		"DeviceReset": "{userRef: {name: taro}, slots: [pc]}\nstatus: {cleared: 5}",
	} {
		k.mustApply(kind, "forged", spec, "created")
	}
	if diff := cmp.Diff(v1alpha1.RelayServerStatus{ObservedGeneration: -1}, get(k, &v1alpha1.RelayServer{}, "forged").Status); diff != "" {
		t.Errorf("RelayServer's status (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(v1alpha1.RelayUserStatus{ObservedGeneration: -1}, get(k, &v1alpha1.RelayUser{}, "forged").Status); diff != "" {
		t.Errorf("RelayUser's status (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(v1alpha1.DeviceResetStatus{ObservedGeneration: -1}, get(k, &v1alpha1.DeviceReset{}, "forged").Status); diff != "" {
		t.Errorf("DeviceReset's status (-want +got):\n%s", diff)
	}
}
