package decision_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/decision"
)

var (
	noon   = time.Date(2026, 11, 15, 12, 0, 0, 0, time.UTC)
	tablet = device("tablet")
	phone  = device("phone")
	laptop = device("laptop")
)

func device(name string) decision.Device {
	return decision.Device{Digests: []decision.Digest{digest(name)}, Kind: decision.KindOpaque}
}

func digest(name string) decision.Digest { return decision.Digest("k1:" + name) }

func registered(name string, at time.Time) decision.SlotState {
	return decision.SlotState{State: decision.Registered, Digest: digest(name), RegisteredTime: at}
}

func reserved(name string) decision.SlotState {
	return decision.SlotState{State: decision.Reserved, Digest: digest(name)}
}

func revoking(names ...string) decision.SlotState {
	var s decision.SlotState
	for _, name := range names {
		s.Revoked = append(s.Revoked, digest(name))
	}
	return s
}

// TestReasonsInOrder starts with a login for which every check fails, and mends one after the other.
func TestReasonsInOrder(t *testing.T) {
	user := &decision.User{
		Administrator: true,
		Suspended:     true,
		ValidFrom:     noon.Add(time.Hour),
		ViewerNetwork: decision.Network{
			CIDRs: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")},
			MACs:  []decision.MAC{{0, 1, 2, 3, 4, 5}},
		},
	}
	user.Slots[decision.SlotPC] = registered("laptop", noon.Add(-2*time.Hour))
	user.Slots[decision.SlotMobile] = registered("phone", noon.Add(-time.Hour))
	user.Slots[decision.SlotMobile].Revoked = []decision.Digest{digest("tablet")}
	in := decision.Input{
		Now:          noon,
		ReservedOnly: true,
		MinimumKind:  decision.KindProof,
		Attempt: decision.Attempt{
			Program: decision.ProgramViewer, Viewer: decision.ViewerMobile, Source: netip.MustParseAddr("192.0.2.1"),
		},
	}
	steps := []struct {
		want decision.Outcome
		mend func()
	}{
		{deny(decision.UnknownUser), func() { in.User = user }},
		{deny(decision.PasswordMismatch), func() { in.PasswordOK = true }},
		{deny(decision.UserSuspended), func() { user.Suspended = false }},
		{deny(decision.OutsideValidity), func() { user.ValidFrom = noon }},
		{deny(decision.AdministratorNotPermitted), func() { user.Administrator = false }},
		{deny(decision.ProgramNotPermitted), func() { user.MobilePermitted = true }},
		{deny(decision.SourceAddressDenied), func() { in.Attempt.Source = netip.MustParseAddr("198.51.100.9") }},
		{deny(decision.MACAddressDenied), func() { in.Attempt.MAC = decision.MAC{0, 1, 2, 3, 4, 5} }},
		{deny(decision.DeviceAuthUnsupported), func() { in.Attempt.ProofInvalid = true }},
		{deny(decision.DeviceProofInvalid), func() { in.Attempt.Device, in.Attempt.ProofInvalid = tablet, false }},
		{deny(decision.DeviceKindNotPermitted), func() { in.MinimumKind = decision.KindOpaque }},
		{deny(decision.SlotNotPermitted), func() { user.CombinedPermitted = true }},
		{deny(decision.DeviceRevoked), func() { user.Slots[decision.SlotMobile].Revoked = nil }},
		{deny(decision.DeviceMismatch), func() { user.Slots[decision.SlotMobile] = decision.SlotState{} }},
		{deny(decision.DeviceNotRegistered), func() { in.ReservedOnly = false }},
		{enroll(decision.SlotMobile), func() { user.Slots[decision.SlotMobile] = registered("tablet", noon) }},
		{allow(decision.SlotMobile), func() {}},
	}
	var told []v1alpha1.Reason
	for i, step := range steps {
		step.want.Slot = decision.SlotMobile
		if diff := cmp.Diff(step.want, decision.Decide(in)); diff != "" {
			t.Errorf("step %d (-want +got):\n%s", i, diff)
		}
		if step.want.Verdict == decision.Deny {
			told = append(told, v1alpha1.Reason(step.want.Reason.String()))
		}
		step.mend()
	}
	// The rest of the API's reasons come from around the decision.
	told = append(told, v1alpha1.ReasonThrottled, v1alpha1.ReasonServerUnavailable,
		v1alpha1.ReasonSessionInvalid, v1alpha1.ReasonSessionExpired, v1alpha1.ReasonSessionEnded)
	if diff := cmp.Diff(v1alpha1.Reasons, told); diff != "" {
		t.Errorf("order of reasons (-API +told):\n%s", diff)
	}
}

// TestMinimumKind: the stricter of the relay's and the user's demand holds, for every kind of device.
func TestMinimumKind(t *testing.T) {
	kinds := []decision.Kind{decision.KindNone, decision.KindOpaque, decision.KindCertificate, decision.KindProof}
	for _, relays := range kinds {
		for _, users := range kinds {
			for _, shown := range kinds[1:] {
				in := login(decision.ViewerPC, device("laptop"))
				in.MinimumKind, in.User.MinimumKind, in.Attempt.Device.Kind = relays, users, shown
				want := decision.ReasonNone
				if shown < relays || shown < users {
					want = decision.DeviceKindNotPermitted
				}
				if got := decision.Decide(in).Reason; got != want {
					t.Errorf("relay asks for %d, user for %d, device shows %d: %q, want %q", relays, users, shown, got, want)
				}
			}
		}
	}
	in := login(decision.ViewerUnbound, decision.Device{}, func(u *decision.User) { u.UnboundPermitted, u.MinimumKind = true, decision.KindProof })
	if got := decision.Decide(in); got.Verdict != decision.Allow {
		t.Errorf("a viewer without a device: %v", got)
	}
}

// TestProofThatDoesNotHold admits no device, whatever else is known of it, and matters to no program that has none.
func TestProofThatDoesNotHold(t *testing.T) {
	for name, tc := range map[string]struct {
		in   decision.Input
		want decision.Outcome
	}{
		"nothing known of the device": {login(decision.ViewerPC, decision.Device{}), deny(decision.DeviceProofInvalid)},
		"a free slot":                 {login(decision.ViewerPC, laptop), deny(decision.DeviceProofInvalid)},
		"the bound device": {
			login(decision.ViewerPC, laptop, holds(decision.SlotPC, registered("laptop", noon))), deny(decision.DeviceProofInvalid),
		},
		"a viewer without a device": {
			login(decision.ViewerUnbound, decision.Device{}, func(u *decision.User) { u.UnboundPermitted = true }), allow(decision.SlotNone),
		},
	} {
		tc.in.Attempt.ProofInvalid = true
		if got := decision.Decide(tc.in); got != tc.want {
			t.Errorf("%s: %+v, want %+v", name, got, tc.want)
		}
	}
}

func deny(r decision.Reason) decision.Outcome { return decision.Outcome{Reason: r} }

func enroll(s decision.Slot) decision.Outcome {
	return decision.Outcome{Verdict: decision.Enroll, Slot: s}
}

func allow(s decision.Slot) decision.Outcome {
	return decision.Outcome{Verdict: decision.Allow, Slot: s}
}

func TestReasonsAreTheAPIs(t *testing.T) {
	var got []v1alpha1.Reason
	for _, r := range decision.Reasons() {
		got = append(got, v1alpha1.Reason(r.String()))
	}
	if diff := cmp.Diff(v1alpha1.Reasons, got); diff != "" {
		t.Errorf("reasons (-API +decision):\n%s", diff)
	}
}

// login is a viewer's login to a slot with a device; what the user may do is in the options.
func login(viewer decision.Viewer, d decision.Device, options ...func(*decision.User)) decision.Input {
	user := &decision.User{}
	for _, option := range options {
		option(user)
	}
	return decision.Input{
		Now: noon, User: user, PasswordOK: true,
		Attempt: decision.Attempt{Program: decision.ProgramViewer, Viewer: viewer, Device: d},
	}
}

func mobile(u *decision.User)   { u.MobilePermitted = true }
func combined(u *decision.User) { u.MobilePermitted, u.CombinedPermitted = true, true }

func holds(slot decision.Slot, s decision.SlotState) func(*decision.User) {
	return func(u *decision.User) { u.Slots[slot] = s }
}

func TestSlots(t *testing.T) {
	const pc, phoneSlot = decision.SlotPC, decision.SlotMobile
	early, late := noon.Add(-2*time.Hour), noon.Add(-time.Hour)
	denied := func(r decision.Reason, s decision.Slot) decision.Outcome {
		return decision.Outcome{Reason: r, Slot: s}
	}
	reservedOnly := func(in decision.Input) decision.Input {
		in.ReservedOnly = true
		return in
	}
	for name, tc := range map[string]struct {
		in   decision.Input
		want decision.Outcome
	}{
		"the first PC enrolls":               {login(decision.ViewerPC, laptop), enroll(pc)},
		"the bound PC comes back":            {login(decision.ViewerPC, laptop, holds(pc, registered("laptop", early))), allow(pc)},
		"another PC does not":                {login(decision.ViewerPC, tablet, holds(pc, registered("laptop", early))), denied(decision.DeviceMismatch, pc)},
		"a phone needs mobile":               {login(decision.ViewerMobile, phone), denied(decision.ProgramNotPermitted, phoneSlot)},
		"a viewer without a device":          {login(decision.ViewerPC, decision.Device{}), denied(decision.DeviceAuthUnsupported, pc)},
		"a bound slot without a digest":      {login(decision.ViewerPC, laptop, holds(pc, decision.SlotState{State: decision.Registered})), denied(decision.DeviceMismatch, pc)},
		"a device without a digest is none":  {login(decision.ViewerPC, decision.Device{Digests: []decision.Digest{""}}, holds(pc, decision.SlotState{State: decision.Registered})), denied(decision.DeviceMismatch, pc)},
		"an older key's digest is known":     {login(decision.ViewerPC, decision.Device{Digests: []decision.Digest{"k2:laptop", "k1:laptop"}}, holds(pc, registered("laptop", early))), allow(pc)},
		"a slot in no state admits nobody":   {login(decision.ViewerPC, laptop, holds(pc, decision.SlotState{State: 7, Digest: digest("laptop")})), denied(decision.DeviceNotRegistered, pc)},
		"reserved for this device":           {login(decision.ViewerPC, laptop, holds(pc, reserved("laptop"))), enroll(pc)},
		"reserved for another device":        {login(decision.ViewerPC, tablet, holds(pc, reserved("laptop"))), denied(decision.DeviceNotRegistered, pc)},
		"reserved for no device":             {login(decision.ViewerPC, tablet, holds(pc, reserved(""))), denied(decision.DeviceNotRegistered, pc)},
		"ReservedOnly, free":                 {reservedOnly(login(decision.ViewerPC, laptop)), denied(decision.DeviceNotRegistered, pc)},
		"ReservedOnly, reserved":             {reservedOnly(login(decision.ViewerPC, laptop, holds(pc, reserved("laptop")))), enroll(pc)},
		"ReservedOnly, bound":                {reservedOnly(login(decision.ViewerPC, laptop, holds(pc, registered("laptop", early)))), allow(pc)},
		"revoked":                            {login(decision.ViewerPC, laptop, holds(pc, revoking("tablet", "laptop"))), denied(decision.DeviceRevoked, pc)},
		"revoked under an older key":         {login(decision.ViewerPC, decision.Device{Digests: []decision.Digest{"k2:laptop", "k1:laptop"}}, holds(pc, revoking("laptop"))), denied(decision.DeviceRevoked, pc)},
		"revoked in the other slot":          {login(decision.ViewerPC, phone, combined, holds(phoneSlot, revoking("phone"))), denied(decision.DeviceRevoked, pc)},
		"revoked, and mobile not permitted":  {login(decision.ViewerPC, phone, holds(phoneSlot, revoking("phone"))), denied(decision.DeviceRevoked, pc)},
		"another was revoked":                {login(decision.ViewerPC, laptop, holds(pc, revoking("tablet"))), enroll(pc)},
		"combined: a phone beside the PC":    {login(decision.ViewerMobile, phone, combined, holds(pc, registered("laptop", early))), enroll(phoneSlot)},
		"combined: each in its own slot":     {login(decision.ViewerMobile, laptop, combined, holds(pc, registered("laptop", early)), holds(phoneSlot, registered("phone", late))), denied(decision.DeviceMismatch, phoneSlot)},
		"combined: reserved PC, free phone":  {login(decision.ViewerMobile, phone, combined, holds(pc, reserved("laptop"))), enroll(phoneSlot)},
		"single: the phone may be first":     {login(decision.ViewerMobile, phone, mobile), enroll(phoneSlot)},
		"single: the PC may be first":        {login(decision.ViewerPC, laptop, mobile), enroll(pc)},
		"single: no phone beside the PC":     {login(decision.ViewerMobile, phone, mobile, holds(pc, registered("laptop", early))), denied(decision.SlotNotPermitted, phoneSlot)},
		"single: no PC beside the phone":     {login(decision.ViewerPC, laptop, mobile, holds(phoneSlot, registered("phone", early))), denied(decision.SlotNotPermitted, pc)},
		"single: nor one that is reserved":   {login(decision.ViewerPC, laptop, mobile, holds(pc, reserved("laptop")), holds(phoneSlot, registered("phone", early))), denied(decision.SlotNotPermitted, pc)},
		"single: the bound one comes back":   {login(decision.ViewerMobile, phone, mobile, holds(phoneSlot, registered("phone", early))), allow(phoneSlot)},
		"single: reserved for a PC, phone":   {login(decision.ViewerMobile, phone, mobile, holds(pc, reserved("laptop"))), denied(decision.DeviceNotRegistered, phoneSlot)},
		"single: reserved for a PC, that PC": {login(decision.ViewerPC, laptop, mobile, holds(pc, reserved("laptop"))), enroll(pc)},
		"single: reserved for both, either":  {login(decision.ViewerMobile, phone, mobile, holds(pc, reserved("laptop")), holds(phoneSlot, reserved("phone"))), enroll(phoneSlot)},
		"combined withdrawn: the first":      {login(decision.ViewerMobile, phone, mobile, holds(pc, registered("laptop", late)), holds(phoneSlot, registered("phone", early))), allow(phoneSlot)},
		"combined withdrawn: the second":     {login(decision.ViewerPC, laptop, mobile, holds(pc, registered("laptop", late)), holds(phoneSlot, registered("phone", early))), denied(decision.SlotNotPermitted, pc)},
		"same instant: the PC":               {login(decision.ViewerPC, laptop, mobile, holds(pc, registered("laptop", early)), holds(phoneSlot, registered("phone", early))), allow(pc)},
		"same instant: the phone":            {login(decision.ViewerMobile, phone, mobile, holds(pc, registered("laptop", early)), holds(phoneSlot, registered("phone", early))), denied(decision.SlotNotPermitted, phoneSlot)},
		"mobile withdrawn: the phone":        {login(decision.ViewerMobile, phone, holds(phoneSlot, registered("phone", early))), denied(decision.ProgramNotPermitted, phoneSlot)},
		"mobile withdrawn: a PC":             {login(decision.ViewerPC, laptop, holds(phoneSlot, registered("phone", early))), enroll(pc)},
		"mobile withdrawn: the bound PC":     {login(decision.ViewerPC, laptop, holds(pc, registered("laptop", late)), holds(phoneSlot, registered("phone", early))), allow(pc)},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, decision.Decide(tc.in)); diff != "" {
				t.Errorf("outcome (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLoginsWithoutSlot(t *testing.T) {
	unbound := func(u *decision.User) { u.UnboundPermitted = true }
	client := func(u *decision.User) { u.ClientPermitted = true }
	asClient := func(in decision.Input) decision.Input {
		in.Attempt.Program = decision.ProgramClient
		return in
	}
	denied := func(r decision.Reason) decision.Outcome {
		return decision.Outcome{Reason: r, Slot: decision.SlotNone}
	}
	bound := holds(decision.SlotPC, registered("laptop", noon))
	for name, tc := range map[string]struct {
		in   decision.Input
		want decision.Outcome
	}{
		"unbound viewer, permitted":      {login(decision.ViewerUnbound, decision.Device{}, unbound), allow(decision.SlotNone)},
		"unbound viewer, not permitted":  {login(decision.ViewerUnbound, decision.Device{}), denied(decision.DeviceAuthUnsupported)},
		"unbound viewer, beside a PC":    {login(decision.ViewerUnbound, decision.Device{}, unbound, bound), allow(decision.SlotNone)},
		"unbound viewer, with a device":  {login(decision.ViewerUnbound, phone, unbound, bound), allow(decision.SlotNone)},
		"unbound does not free a PC":     {login(decision.ViewerPC, decision.Device{}, unbound), decision.Outcome{Reason: decision.DeviceAuthUnsupported, Slot: decision.SlotPC}},
		"a viewer of no kind":            {login(decision.ViewerUnknown, laptop, unbound), denied(decision.DeviceAuthUnsupported)},
		"a viewer of an unknown kind":    {login(200, laptop, unbound), denied(decision.DeviceAuthUnsupported)},
		"client, permitted":              {asClient(login(decision.ViewerUnknown, decision.Device{}, client)), allow(decision.SlotNone)},
		"client, not permitted":          {asClient(login(decision.ViewerUnknown, decision.Device{})), denied(decision.ProgramNotPermitted)},
		"client with a device":           {asClient(login(decision.ViewerPC, phone, client, bound)), allow(decision.SlotNone)},
		"client does not permit unbound": {login(decision.ViewerUnbound, decision.Device{}, client), denied(decision.DeviceAuthUnsupported)},
		"unbound does not permit client": {asClient(login(decision.ViewerUnbound, decision.Device{}, unbound)), denied(decision.ProgramNotPermitted)},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, decision.Decide(tc.in)); diff != "" {
				t.Errorf("outcome (-want +got):\n%s", diff)
			}
		})
	}
	for _, program := range []decision.Program{decision.ProgramUnknown, decision.ProgramClient + 1, 200} {
		in := login(decision.ViewerPC, laptop, unbound, client)
		in.Attempt.Program = program
		if diff := cmp.Diff(denied(decision.ProgramNotPermitted), decision.Decide(in)); diff != "" {
			t.Errorf("program %d (-want +got):\n%s", program, diff)
		}
	}
}

func TestValidity(t *testing.T) {
	for name, tc := range map[string]struct {
		from, until time.Time
		want        decision.Reason
	}{
		"unbounded":            {want: decision.ReasonNone},
		"begins now":           {from: noon, want: decision.ReasonNone},
		"begins in an instant": {from: noon.Add(1), want: decision.OutsideValidity},
		"ends now":             {until: noon, want: decision.OutsideValidity},
		"ends in an instant":   {until: noon.Add(1), want: decision.ReasonNone},
		"within":               {from: noon.Add(-1), until: noon.Add(1), want: decision.ReasonNone},
		"in another time zone": {from: noon.In(time.FixedZone("JST", 9*3600)), want: decision.ReasonNone},
	} {
		t.Run(name, func(t *testing.T) {
			in := login(decision.ViewerPC, laptop)
			in.User.ValidFrom, in.User.ValidUntil = tc.from, tc.until
			if got := decision.Decide(in).Reason; got != tc.want {
				t.Errorf("reason %q, want %q", got, tc.want)
			}
		})
	}
}

func TestSources(t *testing.T) {
	for name, tc := range map[string]struct {
		allowed []string
		source  netip.Addr
		want    decision.Reason
	}{
		"no list":                    {nil, netip.MustParseAddr("192.0.2.1"), decision.ReasonNone},
		"no list, no source":         {nil, netip.Addr{}, decision.ReasonNone},
		"in the second network":      {[]string{"198.51.100.0/24", "192.0.2.0/24"}, netip.MustParseAddr("192.0.2.1"), decision.ReasonNone},
		"in none":                    {[]string{"198.51.100.0/24"}, netip.MustParseAddr("192.0.2.1"), decision.SourceAddressDenied},
		"no source":                  {[]string{"0.0.0.0/0", "::/0"}, netip.Addr{}, decision.SourceAddressDenied},
		"IPv6":                       {[]string{"2001:db8::/32"}, netip.MustParseAddr("2001:db8:1::2"), decision.ReasonNone},
		"the other family":           {[]string{"::/0"}, netip.MustParseAddr("192.0.2.1"), decision.SourceAddressDenied},
		"a network that is unparsed": {[]string{""}, netip.MustParseAddr("192.0.2.1"), decision.SourceAddressDenied},
	} {
		t.Run(name, func(t *testing.T) {
			in := login(decision.ViewerPC, laptop)
			in.Attempt.Source = tc.source
			for _, network := range tc.allowed {
				p, _ := netip.ParsePrefix(network)
				in.User.ViewerNetwork.CIDRs = append(in.User.ViewerNetwork.CIDRs, p)
			}
			if got := decision.Decide(in).Reason; got != tc.want {
				t.Errorf("reason %q, want %q", got, tc.want)
			}
		})
	}
}

// TestNetworkOfItsOwnProgram: the limits of one program do not bind the other.
func TestNetworkOfItsOwnProgram(t *testing.T) {
	elsewhere := decision.Network{
		CIDRs: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}, MACs: []decision.MAC{{1}},
	}
	viewer := login(decision.ViewerPC, laptop)
	viewer.User.ClientNetwork = elsewhere
	if got := decision.Decide(viewer); got != enroll(decision.SlotPC) {
		t.Errorf("viewer: %+v", got)
	}
	client := login(decision.ViewerUnknown, decision.Device{})
	client.Attempt.Program = decision.ProgramClient
	client.User.ClientPermitted, client.User.ViewerNetwork = true, elsewhere
	if got := decision.Decide(client); got != allow(decision.SlotNone) {
		t.Errorf("client: %+v", got)
	}
	client.User.ClientNetwork = elsewhere
	if got := decision.Decide(client).Reason; got != decision.SourceAddressDenied {
		t.Errorf("client from elsewhere: %s", got)
	}
}

func TestMACs(t *testing.T) {
	own := decision.MAC{0, 0x11, 0x22, 0xaa, 0xbb, 0xcc}
	for name, tc := range map[string]struct {
		allowed []decision.MAC
		mac     decision.MAC
		want    decision.Reason
	}{
		"no list, none told":        {nil, decision.MAC{}, decision.ReasonNone},
		"listed":                    {[]decision.MAC{{1}, own}, own, decision.ReasonNone},
		"not listed":                {[]decision.MAC{{1}}, own, decision.MACAddressDenied},
		"none told":                 {[]decision.MAC{own}, decision.MAC{}, decision.MACAddressDenied},
		"an unreadable entry, none": {[]decision.MAC{{}}, decision.MAC{}, decision.MACAddressDenied},
	} {
		t.Run(name, func(t *testing.T) {
			in := login(decision.ViewerPC, laptop)
			in.User.ViewerNetwork.MACs, in.Attempt.MAC = tc.allowed, tc.mac
			if got := decision.Decide(in).Reason; got != tc.want {
				t.Errorf("reason %q, want %q", got, tc.want)
			}
		})
	}
}

// TestNames: a value out of range has an empty name; nothing that logs or counts one panics.
func TestNames(t *testing.T) {
	for name, tc := range map[string]struct{ got, want string }{
		"deny":             {decision.Deny.String(), "deny"},
		"allow":            {decision.Allow.String(), "allow"},
		"enroll":           {decision.Enroll.String(), "enroll"},
		"no verdict":       {decision.Verdict(200).String(), ""},
		"viewer":           {decision.ProgramViewer.String(), string(v1alpha1.ProgramViewer)},
		"client":           {decision.ProgramClient.String(), string(v1alpha1.ProgramClient)},
		"no program":       {decision.ProgramUnknown.String(), ""},
		"another program":  {decision.Program(200).String(), ""},
		"pc":               {decision.SlotPC.String(), string(v1alpha1.SlotPC)},
		"mobile":           {decision.SlotMobile.String(), string(v1alpha1.SlotMobile)},
		"count of slots":   {decision.SlotCount.String(), ""},
		"no slot":          {decision.SlotNone.String(), ""},
		"another slot":     {decision.Slot(200).String(), ""},
		"no reason":        {decision.ReasonNone.String(), ""},
		"another reason":   {decision.Reason(200).String(), ""},
		"reason Throttled": {decision.Throttled.String(), string(v1alpha1.ReasonThrottled)},
	} {
		if tc.got != tc.want {
			t.Errorf("%s: %q, want %q", name, tc.got, tc.want)
		}
	}
	for _, s := range []decision.Slot{decision.SlotCount, decision.SlotNone, 200} {
		if (&decision.User{}).SlotPermitted(s) {
			t.Errorf("slot %d, which is none, is permitted", s)
		}
	}
}
