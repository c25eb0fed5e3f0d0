package main

import (
	"testing"

	"github.com/tegata-dev/tegata/internal/decision"
)

// TestTimingShowsASkippedHash is the proof that the measurement has the power it claims: with a Verifier
// that skips the hash for unknown users it fails, and with the real one it does not. It goes by processor
// time, which other tests on the same machine do not disturb much.
func TestTimingShowsASkippedHash(t *testing.T) {
	for name, breakHash := range map[string]bool{"the real verifier": false, "one that skips it for unknown users": true} {
		t.Run(name, func(t *testing.T) {
			s, err := newDecisionSampler(t.Context(), breakHash)
			if err != nil {
				t.Fatal(err)
			}
			defer s.stop()
			if err := s.sample(t.Context(), 25); err != nil {
				t.Fatal(err)
			}
			rows, err := timingRows(s.cpu, "CPU", s.causes())
			if err != nil {
				t.Fatal(err)
			}
			if len(rows) != len(s.causes())-1 {
				t.Fatalf("got %d rows, want one for each cause but the first", len(rows))
			}
			for _, row := range rows {
				row.judge()
				// On a machine that is very busy the real one may be NOISY.
				if got := row.Verdict == fail; got != breakHash {
					t.Errorf("%s: %s with |t| %.2f (%s), fails is %v, want %v", row.What, row.Verdict, float64(row.Figure), row.Note, got, breakHash)
				}
			}
		})
	}
}

// A difference that is found must not be excused by noise.
func TestTimingRowsOfNoise(t *testing.T) {
	wild := func(shift float64) []float64 {
		var times []float64
		for i := range 20 {
			times = append(times, shift+float64(i%5)*50e6)
		}
		return times
	}
	for name, tc := range map[string]struct {
		shift float64
		want  Verdict
	}{
		"nothing to be seen":            {want: noisy},
		"a difference beyond all noise": {shift: 1e9, want: fail},
	} {
		t.Run(name, func(t *testing.T) {
			causes := []string{unknownUser, decision.PasswordMismatch.String()}
			rows, err := timingRows(map[string][]float64{causes[0]: wild(0), causes[1]: wild(tc.shift)}, "time", causes)
			if err != nil {
				t.Fatal(err)
			}
			rows[0].judge()
			if rows[0].Verdict != tc.want {
				t.Errorf("got %s, want %s (%s)", rows[0].Verdict, tc.want, rows[0].Note)
			}
		})
	}
}
