package main

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/tegata-dev/tegata/internal/decision"
)

// maxDecide is what a decision may take, in nanoseconds (issue: "under 1 µs, no allocation").
const maxDecide = 1000

// The bounds of the API (api/v1alpha1) and of the key Secret.
const (
	mostNetworks = 64
	mostMACs     = 64
	mostRevoked  = 32
	mostKeys     = 4
)

func measureDecide(_ context.Context, l *lab) ([]Row, error) {
	var rows []Row
	for _, tc := range []struct {
		what string
		in   decision.Input
	}{
		{"typical user", typicalInput()},
		{"fullest user", fullestInput()},
	} {
		var got decision.Outcome
		nanos, allocs, err := microBenchmark(scale(l, 5, 2), func() { got = decision.Decide(tc.in) })
		if err != nil {
			return rows, err
		}
		if got.Verdict != decision.Allow {
			return rows, fmt.Errorf("%s is denied (%s), so that not all checks ran", tc.what, got.Reason)
		}
		rows = append(rows,
			Row{What: tc.what + ", time", Unit: nanoseconds, Figure: Figure(nanos), Bound: figureAtMost(maxDecide)},
			Row{What: tc.what + ", allocations", Unit: count, Figure: Figure(allocs), Bound: figureAtMost(0)})
	}
	rows[2].Note = fmt.Sprintf("%d networks and %d hardware addresses of which the last fits, two bound slots with %d revoked devices each, %d keys in use",
		mostNetworks, mostMACs, mostRevoked, mostKeys)
	return rows, nil
}

// microBenchmark is the median of rounds of testing.Benchmark, by processor time: that does not count
// when somebody else has the processor.
func microBenchmark(rounds int, do func()) (nanos, allocs float64, err error) {
	testing.Init() // for the flag; without it a round takes a second
	if err := flag.Set("test.benchtime", "300ms"); err != nil {
		return 0, 0, err
	}
	times := make([]float64, rounds)
	for i := range times {
		var used time.Duration
		result := testing.Benchmark(func(b *testing.B) {
			b.ReportAllocs()
			before, failed := ownCPUTime()
			for b.Loop() {
				do()
			}
			var after time.Duration
			after, err = ownCPUTime()
			err = errors.Join(err, failed)
			used = after - before
		})
		times[i] = float64(used) / float64(result.N)
		allocs = max(allocs, float64(result.AllocsPerOp()))
	}
	return median(times), allocs, err
}

// typicalInput is a login of somebody with one bound PC, who had another one before, from an office.
func typicalInput() decision.Input {
	own := testDigest("key1", 1)
	return decision.Input{
		Now: time.Now(), PasswordOK: true,
		User: &decision.User{
			MobilePermitted: true, CombinedPermitted: true,
			ViewerNetwork: decision.Network{CIDRs: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}},
			Slots: [decision.SlotCount]decision.SlotState{
				decision.SlotPC: {State: decision.Registered, Digest: own, RegisteredTime: time.Now(), Revoked: []decision.Digest{testDigest("key1", 2)}},
			},
		},
		Attempt: decision.Attempt{
			Program: decision.ProgramViewer, Viewer: decision.ViewerPC, Source: netip.MustParseAddr("10.1.2.3"),
			Device: decision.Device{Digests: []decision.Digest{own}},
		},
	}
}

// fullestInput is a login of a user at every bound of the API, admitted by the last entry of each list.
func fullestInput() decision.Input {
	in := typicalInput()
	in.Attempt.MAC = decision.MAC{2, 0, 0, 0, 0, mostMACs - 1}
	in.Attempt.Source = netip.MustParseAddr("2001:db8:3f::1")
	in.Attempt.Device.Digests = nil
	for k := range mostKeys {
		in.Attempt.Device.Digests = append(in.Attempt.Device.Digests, testDigest(fmt.Sprintf("key%d", k), 1))
	}
	u := in.User
	u.ValidFrom, u.ValidUntil = in.Now.Add(-time.Hour), in.Now.Add(time.Hour)
	u.ViewerNetwork = decision.Network{}
	for i := range mostNetworks {
		u.ViewerNetwork.CIDRs = append(u.ViewerNetwork.CIDRs, netip.MustParsePrefix(fmt.Sprintf("2001:db8:%x::/48", i)))
	}
	for i := range mostMACs {
		u.ViewerNetwork.MACs = append(u.ViewerNetwork.MACs, decision.MAC{2, 0, 0, 0, 0, byte(i)})
	}
	for slot := range u.Slots {
		s := decision.SlotState{State: decision.Registered, Digest: testDigest(fmt.Sprintf("key%d", mostKeys-1), 1), RegisteredTime: in.Now}
		for i := range mostRevoked {
			s.Revoked = append(s.Revoked, testDigest("key0", byte(100+i)))
		}
		u.Slots[slot] = s
	}
	return in
}

// testDigest looks like a real one.
func testDigest(key string, n byte) decision.Digest {
	sum := sha256.Sum256([]byte{n})
	return decision.Digest(key + ":" + base64.RawURLEncoding.EncodeToString(sum[:]))
}
