package decision_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/tegata-dev/tegata/internal/decision"
)

// fullLogin is the most expensive login under one key: every check runs to its end, over full lists.
func fullLogin() decision.Input {
	in := login(decision.ViewerMobile, phone, mobile,
		holds(decision.SlotPC, registered("laptop", noon)), holds(decision.SlotMobile, registered("phone", noon.Add(-time.Hour))))
	in.User.ValidFrom, in.User.ValidUntil = noon.Add(-time.Hour), noon.Add(time.Hour)
	in.Attempt.Source, in.Attempt.MAC = netip.MustParseAddr("192.0.2.1"), decision.MAC{63}
	for i := range 64 {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, byte(65 - i), 0}), 24)
		in.User.ViewerNetwork.CIDRs = append(in.User.ViewerNetwork.CIDRs, p)
		in.User.ViewerNetwork.MACs = append(in.User.ViewerNetwork.MACs, decision.MAC{byte(i)})
	}
	for i := range 32 {
		for s := range in.User.Slots {
			in.User.Slots[s].Revoked = append(in.User.Slots[s].Revoked, decision.Digest(fmt.Sprintf("k1:%043d", i)))
		}
	}
	return in
}

func TestDecideAllocatesNothing(t *testing.T) {
	ordinary, full := login(decision.ViewerPC, laptop, holds(decision.SlotPC, registered("laptop", noon))), fullLogin()
	if got := decision.Decide(full); got != allow(decision.SlotMobile) {
		t.Fatalf("the full login: %+v", got)
	}
	for name, in := range map[string]decision.Input{"ordinary": ordinary, "full": full} {
		if n := testing.AllocsPerRun(100, func() { decision.Decide(in) }); n != 0 {
			t.Errorf("%s: %v allocations a decision", name, n)
		}
	}
}

func BenchmarkDecide(b *testing.B) {
	ordinary := login(decision.ViewerPC, laptop, holds(decision.SlotPC, registered("laptop", noon)))
	for name, in := range map[string]decision.Input{"ordinary": ordinary, "full": fullLogin()} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				decision.Decide(in)
			}
		})
	}
}
