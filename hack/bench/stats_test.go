package main

import (
	"math/rand/v2"
	"testing"
)

// hashes are times of hashes of 30 ms, of which the spread is that of a busy machine: some are stalled.
func hashes(random *rand.Rand, n int, shift float64) []float64 {
	times := make([]float64, n)
	for i := range times {
		times[i] = 30e6 + shift + random.NormFloat64()*3e6
		if random.IntN(20) == 0 {
			times[i] += random.Float64() * 100e6
		}
	}
	return times
}

func TestCompareTellsDifferentTimesApart(t *testing.T) {
	for name, tc := range map[string]struct {
		shift      float64
		wantDiffer bool
	}{
		"the same work":               {shift: 0},
		"a map look-up more":          {shift: 100},
		"a tenth of a hash less":      {shift: -3e6, wantDiffer: true},
		"the hash was skipped":        {shift: -29e6, wantDiffer: true},
		"a second hash was computed":  {shift: 30e6, wantDiffer: true},
		"a write to the API, waiting": {shift: 5e6, wantDiffer: true},
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(50) {
				random := rand.New(rand.NewPCG(seed, 1))
				c, err := compare(hashes(random, 200, tc.shift), hashes(random, 200, 0))
				if err != nil {
					t.Fatal(err)
				}
				if got := c.t > maxT; got != tc.wantDiffer {
					t.Errorf("seed %d: differ is %v with t %.2f, want %v", seed, got, c.t, tc.wantDiffer)
				}
			}
		})
	}
}

func TestCompareTellsWhatItCouldHaveSeen(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	quiet, err := compare(hashes(random, 200, 0), hashes(random, 200, 0))
	if err != nil {
		t.Fatal(err)
	}
	few, err := compare(hashes(random, 5, 0), hashes(random, 5, 0))
	if err != nil {
		t.Fatal(err)
	}
	if quiet.resolution <= 0 || quiet.resolution > maxResolution*typicalHash {
		t.Errorf("200 samples resolve %.0f ns, want a part of a hash", quiet.resolution)
	}
	if few.resolution < quiet.resolution {
		t.Errorf("5 samples resolve %.0f ns, 200 only %.0f", few.resolution, quiet.resolution)
	}
}

func TestCompareRefusesWhatItCannotJudge(t *testing.T) {
	for name, tc := range map[string]struct{ a, b []float64 }{
		"nothing":    {nil, nil},
		"one each":   {[]float64{1}, []float64{2}},
		"no spread":  {[]float64{1, 1, 1}, []float64{1, 1, 1}},
		"one sample": {[]float64{1, 2, 3}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if c, err := compare(tc.a, tc.b); err == nil {
				t.Errorf("got %+v, want an error", c)
			}
		})
	}
}
