package acceptance

import (
	"fmt"
	"net/http"
	"sort"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/testenv"
)

// TestDenialsLookAlike: every reason gets the same bytes but for the correlation id, and the reason that
// is recorded is the true one (promise 5).
func TestDenialsLookAlike(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testenv.Shared(t), func(s *v1alpha1.RelayServer) {
		s.Spec.Throttle.PerUser = limit(3)
		s.Spec.Denial.ResponseTime = metav1.Duration{Duration: 500 * time.Millisecond}
	})
	past := metav1.NewTime(time.Now().Add(-time.Hour))
	w.addUser("bound", testenv.Mobile)
	w.addUser("wrong")
	w.addUser("suspended", func(u *v1alpha1.RelayUser) { u.Spec.Suspended = true })
	w.addUser("expired", func(u *v1alpha1.RelayUser) { u.Spec.ValidUntil = &past })
	w.addUser("admin", func(u *v1alpha1.RelayUser) { u.Spec.Type = v1alpha1.UserTypeAdministrator })
	w.addUser("pc-only")
	w.addUser("elsewhere", func(u *v1alpha1.RelayUser) { u.Spec.Network.Viewer.AllowedCIDRs = []v1alpha1.CIDR{"192.0.2.0/24"} })
	w.addUser("other-mac", func(u *v1alpha1.RelayUser) {
		u.Spec.Network.Viewer.AllowedMACs = []v1alpha1.MACAddress{"00:11:22:33:44:55"}
	})
	w.addUser("revoked", testenv.Mobile)
	w.addUser("reserved", testenv.Mobile)
	w.addUser("guessed")
	w.addUser("strict", func(u *v1alpha1.RelayUser) { u.Spec.MinimumDeviceKind = v1alpha1.FingerprintCertificate })
	w.addUser("proving", testenv.Mobile)
	s := w.startSidecar()
	w.mustLogin(s, phone("bound", oldPhone))
	w.mustLogin(s, phone("revoked", oldPhone))
	w.reset("revoke", "revoked", v1alpha1.SlotMobile)
	w.login(s, phone("reserved", newPhone)) // binds it, to learn its digest
	digest := w.user("reserved").Status.Slots[1].Binding.Digest
	reserve := deviceReset(w.namespace, "reserve", "reserved", v1alpha1.SlotMobile)
	reserve.Spec.NextDevice = digest
	w.create(reserve)
	w.awaitReset("reserve")
	for range 3 {
		w.login(s, guess("guessed"))
	}

	unbound := pc("bound", "")
	unbound.Viewer = "unbound"
	tests := map[v1alpha1.Reason]attempt{
		v1alpha1.ReasonUnknownUser:               phone("nobody-of-this-name", oldPhone),
		v1alpha1.ReasonPasswordMismatch:          guess("wrong"),
		v1alpha1.ReasonUserSuspended:             pc("suspended", aPC),
		v1alpha1.ReasonOutsideValidity:           pc("expired", aPC),
		v1alpha1.ReasonAdministratorNotPermitted: pc("admin", aPC),
		v1alpha1.ReasonProgramNotPermitted:       phone("pc-only", oldPhone),
		v1alpha1.ReasonSourceAddressDenied:       pc("elsewhere", aPC),
		v1alpha1.ReasonMACAddressDenied:          pc("other-mac", aPC),
		v1alpha1.ReasonDeviceAuthUnsupported:     unbound,
		v1alpha1.ReasonDeviceProofInvalid:        w.proving(s, "proving", newKeyedDevice(t), "nonce", "AAAA"),
		v1alpha1.ReasonDeviceKindNotPermitted:    pc("strict", aPC),
		v1alpha1.ReasonSlotNotPermitted:          pc("bound", aPC),
		v1alpha1.ReasonDeviceRevoked:             phone("revoked", oldPhone),
		v1alpha1.ReasonDeviceMismatch:            phone("bound", newPhone),
		v1alpha1.ReasonDeviceNotRegistered:       phone("reserved", oldPhone),
		v1alpha1.ReasonThrottled:                 guess("guessed"),
	}
	for _, language := range []string{"ja", "en"} {
		var first string
		for reason, a := range tests {
			got := w.login(s, a, "Accept-Language", language)
			masked := mask(got)
			if first == "" {
				first = masked
			}
			if masked != first || got.Status != http.StatusUnauthorized {
				t.Errorf("%s, %s: denial differs:\n%s\nfrom\n%s", reason, language, masked, first)
			}
			if reason != v1alpha1.ReasonUnknownUser {
				w.expectFailure(a.User, reason)
			}
		}
	}
	want := mask(w.login(s, tests[v1alpha1.ReasonPasswordMismatch]))
	w.kubectl("", "delete", "relayserver", serverName)
	w.eventually(func() error { // ServerUnavailable: the policy is gone
		got, err := s.tryLogin(phone("bound", oldPhone))
		if err != nil || got.allowed() {
			return errNotYet("still allowed %v", err)
		}
		if mask(got) != want {
			t.Errorf("denial of %s differs:\n%s\nfrom\n%s", v1alpha1.ReasonServerUnavailable, mask(got), want)
		}
		return nil
	})
	const ofSessions = 3
	if len(tests)+1+ofSessions != len(v1alpha1.Reasons) {
		t.Errorf("%d reasons are tested of %d", len(tests)+1, len(v1alpha1.Reasons)-ofSessions)
	}
}

// guess is a login with a wrong password.
func guess(user string) attempt {
	a := pc(user, aPC)
	a.Password = "a-wrong-password"
	return a
}

// mask is everything that a denied person can see, without what must differ: the correlation id and the
// time of day.
func mask(a answer) string {
	var b strings.Builder
	fmt.Fprintln(&b, a.Status)
	names := make([]string, 0, len(a.header))
	for name := range a.header {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		value := strings.Join(a.header[name], ",")
		if name == "Date" {
			value = fmt.Sprint(len(value), " bytes")
		}
		fmt.Fprintln(&b, name+":", value)
	}
	b.WriteString(strings.ReplaceAll(string(a.body), a.CorrelationID, strings.Repeat("*", len(a.CorrelationID))))
	return b.String()
}

// TestNobodyLocksTheOwnerOut: the bound device with the right password passes whatever others tried, and
// the right password on a new phone feeds no lockout.
func TestNobodyLocksTheOwnerOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testenv.Shared(t), func(s *v1alpha1.RelayServer) {
		s.Spec.Throttle.PerUser = limit(3)
		s.Spec.Throttle.PerSource = limit(25)
		s.Spec.Denial.ResponseTime = metav1.Duration{Duration: 300 * time.Millisecond}
	})
	w.addUser("owner", testenv.Mobile)
	s := w.startSidecar()
	w.mustLogin(s, phone("owner", oldPhone))
	for range 10 {
		w.login(s, phone("owner", newPhone))
	}
	w.expectFailure("owner", v1alpha1.ReasonDeviceMismatch) // not Throttled
	for range 10 {
		w.login(s, guess("owner"))
	}
	w.expectFailure("owner", v1alpha1.ReasonThrottled)
	if got := w.login(s, phone("owner", oldPhone)); !got.allowed() {
		t.Errorf("the owner is locked out: %s", got.body)
	}
	for range 10 {
		w.login(s, guess("nobody-has-this-name"))
	}
	if got := s.metric(`tegata_login_attempts_total{listener="login",reason="Throttled",verdict="deny"}`); got == 0 {
		t.Error("the source is not throttled")
	}
}
