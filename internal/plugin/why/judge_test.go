package why

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/plugin/shell"
)

const digest = "g5fbrhvl:x11hso1nGjaATEd0ijt7MhI7lGWBjFSB0iCAtGJq3Ew"

var failedAt = metav1.NewTime(time.Date(2026, 11, 15, 1, 36, 47, 0, time.UTC))

// refused is taro, with a phone registered, refused for a reason.
func refused(reason v1alpha1.Reason, changes ...func(*subject)) *subject {
	s := &subject{
		user: &v1alpha1.RelayUser{ObjectMeta: metav1.ObjectMeta{Name: "taro", Namespace: "relays"}},
		failure: &v1alpha1.LoginFailure{
			Reason: reason, FirstTime: failedAt, LastTime: failedAt, Count: 1, Slot: v1alpha1.SlotMobile, Program: v1alpha1.ProgramViewer,
			SourceAddress: "192.0.2.7", MACAddress: "00:11:22:aa:bb:cc", Digest: digest, Sidecar: "asp1-0", CorrelationID: "ABC",
		},
		newest: true, serverKnown: true,
	}
	s.user.Status.Slots = []v1alpha1.SlotStatus{{Slot: v1alpha1.SlotMobile, State: v1alpha1.SlotRegistered, Binding: &v1alpha1.Binding{ID: "b1"}}}
	for _, change := range changes {
		change(s)
	}
	return s
}

func suspend(s *subject) { s.user.Spec.Suspended = true }

func unready(s *subject) {
	s.user.Status.Conditions = []metav1.Condition{{Type: "Ready", Status: "False", Reason: "PasswordSecretNotFound", Message: "make it"}}
}

func later(d time.Duration) *metav1.Time {
	t := metav1.NewTime(failedAt.Add(d))
	return &t
}

func TestJudge(t *testing.T) {
	tests := map[string]struct {
		subject *subject
		code    shell.Code
		command string
	}{
		"another phone": {refused("DeviceMismatch"), shell.ResetHelps, "kubectl relay reset taro --slot mobile -n relays"},
		"another phone, reset since": {refused("DeviceMismatch", func(s *subject) { s.user.Status.Slots[0].LastResetTime = later(time.Minute) }),
			shell.SomethingElseHelps, ""},
		"another phone, reset before": {refused("DeviceMismatch", func(s *subject) { s.user.Status.Slots[0].LastResetTime = later(-time.Minute) }),
			shell.ResetHelps, "kubectl relay reset taro --slot mobile -n relays"},
		"another phone, and the server is ill": {refused("DeviceMismatch", func(s *subject) {
			s.server.Status.Conditions = []metav1.Condition{{Type: "Ready", Status: "False", Message: "keys are gone"}}
		}), shell.SomethingElseHelps, "kubectl relay doctor -n relays"},
		"logged in since": {refused("DeviceMismatch", func(s *subject) { s.user.Status.LastLoginTime = later(time.Minute) }), shell.Done, ""},
		"logged in since, but another attempt is asked about": {refused("DeviceMismatch", func(s *subject) {
			s.user.Status.LastLoginTime, s.newest = later(time.Minute), false
		}), shell.ResetHelps, "kubectl relay reset taro --slot mobile -n relays"},
		"a viewer without devices": {refused("DeviceAuthUnsupported"), shell.ResetHelps, "kubectl relay reset taro --slot mobile -n relays"},
		"a viewer without devices, and none is bound": {refused("DeviceAuthUnsupported", func(s *subject) { s.user.Status.Slots = nil }),
			shell.SomethingElseHelps, `kubectl patch relayuser taro --type=merge -p '{"spec":{"programs":{"viewer":{"unbound":true}}}}' -n relays`},
		"a removed device":                   {refused("DeviceRevoked"), shell.ResetHelps, "kubectl relay reset taro --slot mobile --next-device=" + digest + " -n relays"},
		"told by another user's server":      {refused("DeviceRevoked", func(s *subject) { s.elsewhere = "asp2" }), shell.SomethingElseHelps, ""},
		"a removed device, not known":        {refused("DeviceRevoked", func(s *subject) { s.failure.Digest = "$(reboot)" }), shell.SomethingElseHelps, ""},
		"registration is closed":             {refused("DeviceNotRegistered"), shell.ResetHelps, "kubectl relay reset taro --slot mobile --next-device=" + digest + " -n relays"},
		"one device in all":                  {refused("SlotNotPermitted"), shell.ResetHelps, "kubectl relay reset taro --slot mobile -n relays"},
		"a wrong password":                   {refused("PasswordMismatch"), shell.SomethingElseHelps, "kubectl relay passwd taro -n relays"},
		"suspended":                          {refused("UserSuspended", suspend), shell.SomethingElseHelps, "kubectl relay resume taro -n relays"},
		"resumed since":                      {refused("UserSuspended"), shell.SomethingElseHelps, ""},
		"another phone, and suspended since": {refused("DeviceMismatch", suspend), shell.SomethingElseHelps, "kubectl relay resume taro -n relays"},
		"suspended after a login": {refused("DeviceMismatch", suspend, func(s *subject) { s.user.Status.LastLoginTime = later(time.Minute) }),
			shell.SomethingElseHelps, "kubectl relay resume taro -n relays"},
		"suspended, nothing failed": {refused("", suspend, func(s *subject) { s.failure = nil }), shell.SomethingElseHelps, "kubectl relay resume taro -n relays"},
		"suspended, but another attempt is asked about": {refused("DeviceMismatch", suspend, func(s *subject) { s.newest = false }),
			shell.ResetHelps, "kubectl relay reset taro --slot mobile -n relays"},
		"a wrong password, and its Secret is gone": {refused("PasswordMismatch", unready), shell.SomethingElseHelps, ""},
		"its Secret is gone, nothing failed":       {refused("", unready, func(s *subject) { s.failure = nil }), shell.SomethingElseHelps, ""},
		"too late":                                 {refused("OutsideValidity"), shell.SomethingElseHelps, `kubectl patch relayuser taro --type=merge -p '{"spec":{"validFrom":null,"validUntil":null}}' -n relays`},
		"the far end's program":                    {refused("ProgramNotPermitted", func(s *subject) { s.failure.Program = "client" }), shell.SomethingElseHelps, `kubectl patch relayuser taro --type=merge -p '{"spec":{"programs":{"client":true}}}' -n relays`},
		"an address":                               {refused("SourceAddressDenied"), shell.SomethingElseHelps, `kubectl patch relayuser taro --type=json -p '[{"op":"add","path":"/spec/network/viewer/allowedCIDRs/-","value":"192.0.2.7/32"}]' -n relays`},
		"an address of IPv6":                       {refused("SourceAddressDenied", func(s *subject) { s.failure.SourceAddress = "2001:db8::1" }), shell.SomethingElseHelps, `kubectl patch relayuser taro --type=json -p '[{"op":"add","path":"/spec/network/viewer/allowedCIDRs/-","value":"2001:db8::1/128"}]' -n relays`},
		"an address that is none":                  {refused("SourceAddressDenied", func(s *subject) { s.failure.SourceAddress = "'; reboot #" }), shell.SomethingElseHelps, "kubectl edit relayuser taro -n relays"},
		"a MAC address":                            {refused("MACAddressDenied"), shell.SomethingElseHelps, `kubectl patch relayuser taro --type=json -p '[{"op":"add","path":"/spec/network/viewer/allowedMACs/-","value":"00:11:22:aa:bb:cc"}]' -n relays`},
		"a proof":                                  {refused("DeviceProofInvalid"), shell.SomethingElseHelps, "kubectl logs --all-containers asp1-0 --since-time=2026-11-15T01:36:47Z -n relays"},
		"a proof, from nowhere":                    {refused("DeviceProofInvalid", func(s *subject) { s.failure.Sidecar = "a b" }), shell.SomethingElseHelps, ""},
		"too many":                                 {refused("Throttled"), shell.SomethingElseHelps, "kubectl relay history taro --result failure -n relays"},
		"a reason of a newer version":              {refused("Newer"), shell.SomethingElseHelps, ""},
		"nobody":                                   {refused("UnknownUser", func(s *subject) { s.user = nil }), shell.SomethingElseHelps, "kubectl get relayusers"},
		"nothing failed":                           {&subject{user: &v1alpha1.RelayUser{}}, shell.Done, ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := judge(tc.subject)
			if got.code != tc.code || got.command != tc.command {
				t.Errorf("code %d, command %q, want %d, %q", got.code, got.command, tc.code, tc.command)
			}
			if strings.HasPrefix(got.advice.english, "A reset helps") && got.code != shell.ResetHelps {
				t.Errorf("it says %q and ends with %d", got.advice.english, got.code)
			}
		})
	}
}

// TestEveryReasonHasAnAdvice: a reason that is added needs one.
func TestEveryReasonHasAnAdvice(t *testing.T) {
	for _, reason := range v1alpha1.Reasons {
		got := judge(refused(reason))
		if got.advice.english == "" || got.advice.japanese == "" {
			t.Errorf("%s has no advice", reason)
		}
	}
}
