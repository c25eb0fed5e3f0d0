package decision_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/tegata-dev/tegata/internal/decision"
)

// FuzzDecide compares every decision with the rules as the documentation states them, written down once
// more without the order of the checks: who is admitted, and how.
func FuzzDecide(f *testing.F) {
	for _, seed := range []string{"", "\x01\x01\x01", "\x01\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x01\x02\x03", "\xff\xc8\xc8\xff\xc8"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		in := inputFrom(bits{data})
		got := decision.Decide(in)
		want := decision.Deny
		switch {
		case !admissible(in):
		case slotless(in.Attempt), in.User.Slots[got.Slot].State == decision.Registered:
			want = decision.Allow
		default:
			want = decision.Enroll
		}
		if got.Verdict != want {
			t.Errorf("%s (%s), want %s: %+v of %+v", got.Verdict, got.Reason, want, in, in.User)
		}
		if (got.Verdict == decision.Deny) != (got.Reason.String() != "") {
			t.Errorf("verdict %s with the reason %q", got.Verdict, got.Reason)
		}
	})
}

func slotless(a decision.Attempt) bool {
	return a.Program == decision.ProgramClient || a.Viewer == decision.ViewerUnbound
}

// admissible is the documentation's rules, each a line.
func admissible(in decision.Input) bool {
	u := in.User
	if u == nil || !in.PasswordOK || u.Suspended || u.Administrator {
		return false
	}
	if in.Now.Before(u.ValidFrom) || (!u.ValidUntil.IsZero() && !in.Now.Before(u.ValidUntil)) {
		return false
	}
	if in.Attempt.Program == decision.ProgramClient {
		return u.ClientPermitted && inNetwork(u.ClientNetwork, in.Attempt)
	}
	if in.Attempt.Program != decision.ProgramViewer || !inNetwork(u.ViewerNetwork, in.Attempt) {
		return false
	}
	switch in.Attempt.Viewer {
	case decision.ViewerUnbound:
		return u.UnboundPermitted
	case decision.ViewerPC:
		return admissibleDevice(in, u.Slots[decision.SlotPC], u.Slots[decision.SlotMobile], true)
	case decision.ViewerMobile:
		return u.MobilePermitted && admissibleDevice(in, u.Slots[decision.SlotMobile], u.Slots[decision.SlotPC], false)
	}
	return false
}

func admissibleDevice(in decision.Input, own, other decision.SlotState, winsTie bool) bool {
	if in.Attempt.ProofInvalid || len(in.Attempt.Device.Digests) == 0 || is(in.Attempt.Device, own.Revoked...) || is(in.Attempt.Device, other.Revoked...) {
		return false
	}
	oneInAll := in.User.MobilePermitted && !in.User.CombinedPermitted
	taken := oneInAll && other.State == decision.Registered
	promised := oneInAll && other.State == decision.Reserved
	switch own.State {
	case decision.Registered:
		older := own.RegisteredTime.Compare(other.RegisteredTime)
		return is(in.Attempt.Device, own.Digest) && (!taken || older < 0 || (older == 0 && winsTie))
	case decision.Reserved:
		return is(in.Attempt.Device, own.Digest) && !taken && !in.User.SlotsUnknown
	case decision.Unregistered:
		return !in.ReservedOnly && !taken && !promised && !in.User.SlotsUnknown
	}
	return false
}

func is(d decision.Device, stored ...decision.Digest) bool {
	for _, own := range d.Digests {
		for _, s := range stored {
			if own == s && s != "" {
				return true
			}
		}
	}
	return false
}

func inNetwork(n decision.Network, a decision.Attempt) bool {
	address, mac := len(n.CIDRs) == 0, len(n.MACs) == 0
	for _, c := range n.CIDRs {
		address = address || c.Contains(a.Source)
	}
	for _, m := range n.MACs {
		mac = mac || (m == a.MAC && m != decision.MAC{})
	}
	return address && mac
}

// bits turns bytes into small choices, so that equal values meet often.
type bits struct{ data []byte }

func (b *bits) next() byte {
	if len(b.data) == 0 {
		return 0
	}
	first := b.data[0]
	b.data = b.data[1:]
	return first
}

func (b *bits) flag() bool       { return b.next()&1 == 1 }
func (b *bits) below(n byte) int { return int(b.next() % n) }
func (b *bits) time() time.Time {
	return [...]time.Time{{}, noon.Add(-1), noon, noon.Add(1)}[b.below(4)]
}
func (b *bits) mac() decision.MAC { return decision.MAC{b.next() % 3} }
func (b *bits) source() netip.Addr {
	return [...]netip.Addr{{}, netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")}[b.below(3)]
}

func (b *bits) digests() []decision.Digest {
	var list []decision.Digest
	for range b.below(3) {
		list = append(list, b.digest())
	}
	return list
}

func (b *bits) digest() decision.Digest {
	return [...]decision.Digest{"", "k1:a", "k1:b", "k2:a"}[b.below(4)]
}

func (b *bits) network() decision.Network {
	var n decision.Network
	for range b.below(3) {
		p, _ := netip.ParsePrefix([...]string{"", "192.0.2.0/24", "2001:db8::/32"}[b.below(3)])
		n.CIDRs = append(n.CIDRs, p)
	}
	for range b.below(3) {
		n.MACs = append(n.MACs, b.mac())
	}
	return n
}

func (b *bits) slot() decision.SlotState {
	return decision.SlotState{
		State: decision.State(b.below(4)), Digest: b.digest(), RegisteredTime: b.time(), Revoked: b.digests(),
	}
}

func inputFrom(b bits) decision.Input {
	in := decision.Input{Now: noon, PasswordOK: b.flag(), ReservedOnly: b.flag()}
	in.Attempt = decision.Attempt{
		Program: decision.Program(b.next()), Viewer: decision.Viewer(b.next()),
		Source: b.source(), MAC: b.mac(), Device: decision.Device{Digests: b.digests()},
	}
	none := b.flag()
	in.Attempt.ProofInvalid = b.below(4) == 3
	if none {
		return in
	}
	in.User = &decision.User{
		Administrator: b.flag(), Suspended: b.flag(), ValidFrom: b.time(), ValidUntil: b.time(),
		UnboundPermitted: b.flag(), MobilePermitted: b.flag(), CombinedPermitted: b.flag(), ClientPermitted: b.flag(),
		ViewerNetwork: b.network(), ClientNetwork: b.network(),
		Slots: [decision.SlotCount]decision.SlotState{b.slot(), b.slot()},
	}
	in.User.SlotsUnknown = b.below(4) == 3
	return in
}
