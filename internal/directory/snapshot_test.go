package directory

import (
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/authn"
	"github.com/tegata-dev/tegata/internal/binding"
	"github.com/tegata-dev/tegata/internal/decision"
)

var (
	noon   = time.Date(2026, 11, 15, 12, 0, 0, 0, time.UTC)
	atNoon = metav1.NewTime(noon)
)

// attempt is a login of a device with the right password, by the given program.
func attempt(u *v1alpha1.RelayUser, program decision.Program, viewer decision.Viewer) decision.Outcome {
	user := DecisionUser(u)
	var device decision.Device
	if viewer != decision.ViewerUnbound && program == decision.ProgramViewer {
		device = decision.Device{Digests: []decision.Digest{"k1:own"}, Kind: decision.KindOpaque}
	}
	return decision.Decide(decision.Input{
		Now: noon, User: &user, PasswordOK: true,
		Attempt: decision.Attempt{
			Program: program, Viewer: viewer, Source: netip.MustParseAddr("192.0.2.1"),
			MAC: decision.MAC{0, 0x11, 0x22, 0xaa, 0xbb, 0xcc}, Device: device,
		},
	})
}

// TestEveryFieldOfTheUserPage has a row for each field of a RelayUser's spec: what it changes, or where it
// matters otherwise. A field without a row fails the test.
func TestEveryFieldOfTheUserPage(t *testing.T) {
	const (
		viewer = decision.ProgramViewer
		client = decision.ProgramClient
		pc     = decision.ViewerPC
		mobile = decision.ViewerMobile
		stick  = decision.ViewerUnbound
	)
	enroll := func(s decision.Slot) decision.Outcome {
		return decision.Outcome{Verdict: decision.Enroll, Slot: s}
	}
	denied := func(r decision.Reason, s decision.Slot) decision.Outcome {
		return decision.Outcome{Reason: r, Slot: s}
	}
	allowed := decision.Outcome{Verdict: decision.Allow, Slot: decision.SlotNone}
	type row struct {
		program decision.Program
		viewer  decision.Viewer
		base    func(*v1alpha1.RelayUser)
		set     func(*v1alpha1.RelayUser)
		without decision.Outcome
		with    decision.Outcome
	}
	boundPC := func(u *v1alpha1.RelayUser) {
		binding.Bind(&u.Status, v1alpha1.SlotPC, v1alpha1.Binding{ID: "b1", Digest: "k1:other", RegisteredTime: atNoon})
	}
	mayUseClient := func(u *v1alpha1.RelayUser) { u.Spec.Programs.Client = true }
	elsewhere := []v1alpha1.CIDR{"198.51.100.0/24", "2001:db8::/32"}
	others := []v1alpha1.MACAddress{"00-11-22-AA-BB-CD"}
	rows := map[string]row{
		"type": {viewer, pc, nil, func(u *v1alpha1.RelayUser) { u.Spec.Type = v1alpha1.UserTypeAdministrator },
			enroll(decision.SlotPC), denied(decision.AdministratorNotPermitted, decision.SlotPC)},
		"suspended": {viewer, pc, nil, func(u *v1alpha1.RelayUser) { u.Spec.Suspended = true },
			enroll(decision.SlotPC), denied(decision.UserSuspended, decision.SlotPC)},
		"validFrom": {viewer, pc, nil, func(u *v1alpha1.RelayUser) { u.Spec.ValidFrom = later(time.Second) },
			enroll(decision.SlotPC), denied(decision.OutsideValidity, decision.SlotPC)},
		"validUntil": {viewer, pc, nil, func(u *v1alpha1.RelayUser) { u.Spec.ValidUntil = &atNoon },
			enroll(decision.SlotPC), denied(decision.OutsideValidity, decision.SlotPC)},
		"minimumDeviceKind": {viewer, pc, nil, func(u *v1alpha1.RelayUser) { u.Spec.MinimumDeviceKind = v1alpha1.FingerprintProof },
			enroll(decision.SlotPC), denied(decision.DeviceKindNotPermitted, decision.SlotPC)},
		"programs.viewer.unbound": {viewer, stick, nil, func(u *v1alpha1.RelayUser) { u.Spec.Programs.Viewer.Unbound = true },
			denied(decision.DeviceAuthUnsupported, decision.SlotNone), allowed},
		"programs.viewer.mobile": {viewer, mobile, nil, func(u *v1alpha1.RelayUser) { u.Spec.Programs.Viewer.Mobile = true },
			denied(decision.ProgramNotPermitted, decision.SlotMobile), enroll(decision.SlotMobile)},
		"programs.viewer.combined": {viewer, mobile, func(u *v1alpha1.RelayUser) { u.Spec.Programs.Viewer.Mobile = true; boundPC(u) },
			func(u *v1alpha1.RelayUser) { u.Spec.Programs.Viewer.Combined = true },
			denied(decision.SlotNotPermitted, decision.SlotMobile), enroll(decision.SlotMobile)},
		"programs.client": {client, 0, nil, mayUseClient,
			denied(decision.ProgramNotPermitted, decision.SlotNone), allowed},
		"network.viewer.allowedCIDRs": {viewer, pc, nil, func(u *v1alpha1.RelayUser) { u.Spec.Network.Viewer.AllowedCIDRs = elsewhere },
			enroll(decision.SlotPC), denied(decision.SourceAddressDenied, decision.SlotPC)},
		"network.viewer.allowedMACs": {viewer, pc, nil, func(u *v1alpha1.RelayUser) { u.Spec.Network.Viewer.AllowedMACs = others },
			enroll(decision.SlotPC), denied(decision.MACAddressDenied, decision.SlotPC)},
		"network.client.allowedCIDRs": {client, 0, mayUseClient, func(u *v1alpha1.RelayUser) { u.Spec.Network.Client.AllowedCIDRs = elsewhere },
			allowed, denied(decision.SourceAddressDenied, decision.SlotNone)},
		"network.client.allowedMACs": {client, 0, mayUseClient, func(u *v1alpha1.RelayUser) { u.Spec.Network.Client.AllowedMACs = others },
			allowed, denied(decision.MACAddressDenied, decision.SlotNone)},
	}
	elsewhereTested := map[string]string{
		"serverRef.name":          "TestFollowsItsOwnServerOnly",
		"userName":                "TestLookup",
		"password.secretRef.name": "the manager's: it puts the hash into the credential Secret",
		"passwordSaving.login":    "TestAccountTellsPasswordSaving",
		"passwordSaving.windows":  "TestAccountTellsPasswordSaving",
		"memo":                    "TestMemoIsNotKept",
		"endSessionsBefore":       "TestEndedSessionsAreTold",
	}
	for _, path := range leaves(reflect.TypeFor[v1alpha1.RelayUserSpec](), "") {
		if _, ok := rows[path]; !ok && elsewhereTested[path] == "" {
			t.Errorf("spec.%s changes nothing in any test", path)
		}
	}
	for path, tc := range rows {
		t.Run(path, func(t *testing.T) {
			u := &v1alpha1.RelayUser{}
			binding.Ensure(&u.Status, v1alpha1.SlotPC)
			if tc.base != nil {
				tc.base(u)
			}
			if diff := cmp.Diff(tc.without, attempt(u, tc.program, tc.viewer)); diff != "" {
				t.Errorf("without (-want +got):\n%s", diff)
			}
			tc.set(u)
			if diff := cmp.Diff(tc.with, attempt(u, tc.program, tc.viewer)); diff != "" {
				t.Errorf("with (-want +got):\n%s", diff)
			}
		})
	}
}

// TestSlotsThatAreNotToldAreNotFree: a status without slots may be one that was lost.
func TestSlotsThatAreNotToldAreNotFree(t *testing.T) {
	u := &v1alpha1.RelayUser{}
	want := decision.Outcome{Reason: decision.ServerUnavailable, Slot: decision.SlotPC}
	if got := attempt(u, decision.ProgramViewer, decision.ViewerPC); got != want {
		t.Errorf("without slots: %+v, want %+v", got, want)
	}
	u.Spec.Suspended = true
	if got := attempt(u, decision.ProgramViewer, decision.ViewerPC); got.Reason != decision.UserSuspended {
		t.Errorf("a reason of the user's own goes first; got %+v", got)
	}
	u.Spec.Suspended, u.Spec.Programs.Viewer.Unbound = false, true
	if got := attempt(u, decision.ProgramViewer, decision.ViewerUnbound); got.Verdict != decision.Allow {
		t.Errorf("a viewer without a device: %+v", got)
	}
}

func TestEndedSessionsAreTold(t *testing.T) {
	u := &v1alpha1.RelayUser{}
	u.Spec.EndSessionsBefore = &atNoon
	u.Status.EndedSessions = v1alpha1.EndedSessions{IDs: []string{"b"}, UpTo: "a"}
	a := accountOf(u)
	if e := a.EndedSessions; !e.Before.Equal(noon) || !e.Has("a") || !e.Has("b") || e.Has("c") {
		t.Errorf("%+v", e)
	}
	if e := accountOf(&v1alpha1.RelayUser{}).EndedSessions; e != nil {
		t.Errorf("of a user with none: %+v", e)
	}
}

func later(d time.Duration) *metav1.Time {
	at := metav1.NewTime(noon.Add(d))
	return &at
}

// leaves are the JSON paths of the fields of a struct.
func leaves(of reflect.Type, prefix string) []string {
	var paths []string
	for field := range of.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		inner := field.Type
		if inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		if inner.Kind() == reflect.Struct && inner != reflect.TypeFor[metav1.Time]() {
			paths = append(paths, leaves(inner, prefix+name+".")...)
			continue
		}
		paths = append(paths, prefix+name)
	}
	return paths
}

func TestAccountTellsPasswordSaving(t *testing.T) {
	for _, want := range []authn.PasswordSaving{{}, {Login: true}, {Windows: true}} {
		u := &v1alpha1.RelayUser{}
		u.Spec.PasswordSaving = v1alpha1.PasswordSaving{Login: want.Login, Windows: want.Windows}
		if got := accountOf(u).PasswordSaving; got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
}

// TestMemoIsNotKept: what is for administrators only is nowhere in what a login can reach.
func TestMemoIsNotKept(t *testing.T) {
	u := &v1alpha1.RelayUser{}
	u.Spec.Memo = "for administrators"
	if diff := cmp.Diff(accountOf(&v1alpha1.RelayUser{}), accountOf(u), cmp.Exporter(func(reflect.Type) bool { return true })); diff != "" {
		t.Errorf("account (-without +with a memo):\n%s", diff)
	}
}

func TestAccountOf(t *testing.T) {
	u := &v1alpha1.RelayUser{}
	u.Name, u.UID = "hanako", "uid-1"
	u.Status.LastFailure = v1alpha1.LastFailure{Reason: v1alpha1.ReasonDeviceMismatch, Time: &atNoon}
	u.Status.LastLoginTime = later(-time.Hour)
	binding.Bind(&u.Status, v1alpha1.SlotMobile, v1alpha1.Binding{ID: "b1", Digest: "k1:own", RegisteredTime: atNoon})
	got := accountOf(u)
	if got.Name != "hanako" || got.UID != "uid-1" || !got.LastFailure.Equal(noon) || !got.LastLogin.Equal(noon.Add(-time.Hour)) {
		t.Errorf("account %+v", got)
	}
	if want := [decision.SlotCount]string{decision.SlotMobile: "b1"}; got.BindingIDs != want {
		t.Errorf("bindings %v, want %v", got.BindingIDs, want)
	}
}

// TestInconsistentSlotsAdmitNobody: a status that no writer of ours leaves behind, in every combination,
// is never taken for a free slot, and never for a bound one.
func TestInconsistentSlotsAdmitNobody(t *testing.T) {
	const own = "k1:own"
	b := func(digest v1alpha1.DeviceDigest) *v1alpha1.Binding {
		return &v1alpha1.Binding{ID: "b1", Digest: digest}
	}
	for name, tc := range map[string]struct {
		slot v1alpha1.SlotStatus
		want decision.Outcome
	}{
		"sane: unregistered":          {v1alpha1.SlotStatus{State: v1alpha1.SlotUnregistered}, decision.Outcome{Verdict: decision.Enroll}},
		"sane: registered":            {v1alpha1.SlotStatus{State: v1alpha1.SlotRegistered, Binding: b(own)}, decision.Outcome{Verdict: decision.Allow}},
		"sane: reserved":              {v1alpha1.SlotStatus{State: v1alpha1.SlotReserved, ReservedFor: own}, decision.Outcome{Verdict: decision.Enroll}},
		"registered, no binding":      {v1alpha1.SlotStatus{State: v1alpha1.SlotRegistered}, decision.Outcome{Reason: decision.DeviceMismatch}},
		"registered, reserved for":    {v1alpha1.SlotStatus{State: v1alpha1.SlotRegistered, ReservedFor: own}, decision.Outcome{Reason: decision.DeviceMismatch}},
		"registered, an empty digest": {v1alpha1.SlotStatus{State: v1alpha1.SlotRegistered, Binding: b("")}, decision.Outcome{Reason: decision.DeviceMismatch}},
		"reserved for nobody":         {v1alpha1.SlotStatus{State: v1alpha1.SlotReserved}, decision.Outcome{Reason: decision.DeviceNotRegistered}},
		"reserved, bound":             {v1alpha1.SlotStatus{State: v1alpha1.SlotReserved, ReservedFor: own, Binding: b(own)}, decision.Outcome{Reason: decision.DeviceMismatch}},
		"unregistered, bound":         {v1alpha1.SlotStatus{State: v1alpha1.SlotUnregistered, Binding: b("k1:other")}, decision.Outcome{Reason: decision.DeviceMismatch}},
		"no state":                    {v1alpha1.SlotStatus{}, decision.Outcome{Reason: decision.DeviceMismatch}},
		"no state, bound":             {v1alpha1.SlotStatus{Binding: b(own)}, decision.Outcome{Reason: decision.DeviceMismatch}},
		"a state from the future":     {v1alpha1.SlotStatus{State: "Locked"}, decision.Outcome{Reason: decision.DeviceMismatch}},
	} {
		t.Run(name, func(t *testing.T) {
			u := &v1alpha1.RelayUser{}
			tc.slot.Slot = v1alpha1.SlotPC
			u.Status.Slots = []v1alpha1.SlotStatus{tc.slot}
			if diff := cmp.Diff(tc.want, attempt(u, decision.ProgramViewer, decision.ViewerPC)); diff != "" {
				t.Errorf("outcome (-want +got):\n%s", diff)
			}
		})
	}
}

// TestUnreadableLimitsPermitNothing: a list with entries that cannot be read does not become an empty
// one, which would permit all.
func TestUnreadableLimitsPermitNothing(t *testing.T) {
	for name, limits := range map[string]v1alpha1.NetworkLimits{
		"CIDR": {AllowedCIDRs: []v1alpha1.CIDR{"anywhere"}},
		"MAC":  {AllowedMACs: []v1alpha1.MACAddress{"any"}},
	} {
		t.Run(name, func(t *testing.T) {
			u := &v1alpha1.RelayUser{}
			u.Spec.Network.Viewer = limits
			if got := attempt(u, decision.ProgramViewer, decision.ViewerPC); got.Verdict != decision.Deny {
				t.Errorf("outcome %+v", got)
			}
		})
	}
}

func TestRevokedDevicesAreRead(t *testing.T) {
	u := &v1alpha1.RelayUser{}
	u.Status.Slots = []v1alpha1.SlotStatus{{
		Slot: v1alpha1.SlotMobile, State: v1alpha1.SlotUnregistered, Revoked: []v1alpha1.RevokedDevice{{Digest: "k1:x"}, {Digest: "k1:own"}},
	}}
	if got := attempt(u, decision.ProgramViewer, decision.ViewerPC).Reason; got != decision.DeviceRevoked {
		t.Errorf("reason %s", got)
	}
}

func TestPolicyOf(t *testing.T) {
	s := &v1alpha1.RelayServer{Spec: v1alpha1.RelayServerSpec{
		Host:                "asp1.example.com",
		MinimumDeviceKind:   v1alpha1.FingerprintProof,
		Enrollment:          v1alpha1.EnrollmentReservedOnly,
		FailureHistoryLimit: 7,
		Denial: v1alpha1.Denial{
			Code: 500, ResponseTime: metav1.Duration{Duration: 2 * time.Second},
			Messages: []v1alpha1.DenialMessage{{Language: "de", Text: "Nein."}},
		},
		Throttle: v1alpha1.Throttle{
			PerUser:   v1alpha1.ThrottleLimit{Failures: 3, Interval: metav1.Duration{Duration: time.Minute}},
			PerSource: v1alpha1.ThrottleLimit{Failures: 30, Interval: metav1.Duration{Duration: time.Hour}},
		},
		Session:        v1alpha1.SessionPolicy{TTL: metav1.Duration{Duration: 8 * time.Hour}},
		MaxStaleness:   metav1.Duration{Duration: 5 * time.Minute},
		History:        v1alpha1.HistoryPolicy{UnknownUserNames: v1alpha1.UnknownUserNamesKeep},
		TrustedProxies: []v1alpha1.CIDR{"10.0.0.0/8", "nonsense"},
	}}
	want := &authn.Policy{
		Host: "asp1.example.com", MinimumKind: decision.KindProof,
		ReservedOnly: true, FailureHistoryLimit: 7,
		Denial:       authn.Denial{Code: 500, ResponseTime: 2 * time.Second, Messages: map[string]string{"de": "Nein."}},
		PerUser:      authn.Limit{Failures: 3, Interval: time.Minute},
		PerSource:    authn.Limit{Failures: 30, Interval: time.Hour},
		SessionTTL:   8 * time.Hour,
		MaxStaleness: 5 * time.Minute, KeepUnknownNames: true,
		// An unreadable proxy trusts nobody.
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), {}},
	}
	if diff := cmp.Diff(want, policyOf(s), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Errorf("policy (-want +got):\n%s", diff)
	}
	if slices.ContainsFunc(policyOf(s).TrustedProxies, func(p netip.Prefix) bool { return p.Contains(netip.MustParseAddr("192.0.2.1")) }) {
		t.Error("somebody else is trusted")
	}
}
