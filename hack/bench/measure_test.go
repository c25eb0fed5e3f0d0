package main

import (
	"context"
	"encoding/json"
	"math"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"k8s.io/apimachinery/pkg/types"

	"github.com/tegata-dev/tegata/internal/decision"
	"github.com/tegata-dev/tegata/internal/password"
)

func TestInputsRunEveryCheck(t *testing.T) {
	for name, in := range map[string]decision.Input{"typical": typicalInput(), "fullest": fullestInput()} {
		if got := decision.Decide(in); got.Verdict != decision.Allow {
			t.Errorf("%s input is denied: %s", name, got.Reason)
		}
	}
	in := fullestInput()
	in.User.ViewerNetwork.CIDRs = in.User.ViewerNetwork.CIDRs[:mostNetworks-1]
	if got := decision.Decide(in).Reason; got != decision.SourceAddressDenied {
		t.Errorf("without the last network: %s, want %s", got, decision.SourceAddressDenied)
	}
	in = fullestInput()
	in.User.ViewerNetwork.MACs = in.User.ViewerNetwork.MACs[:mostMACs-1]
	if got := decision.Decide(in).Reason; got != decision.MACAddressDenied {
		t.Errorf("without the last hardware address: %s, want %s", got, decision.MACAddressDenied)
	}
}

// TestMemoryRelay reads a relay as a sidecar would, and checks that its users can log in.
func TestMemoryRelay(t *testing.T) {
	const users = 1201 // two pages and a part
	_, hash, err := newCredential()
	if err != nil {
		t.Fatal(err)
	}
	relay, err := memoryRelay(users, time.Second, hash)
	if err != nil {
		t.Fatal(err)
	}
	d, err := relay.read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := d.Users(); got != users {
		t.Errorf("directory has %d users, want %d", got, users)
	}
	for _, i := range []int{0, 499, 500, users - 1} {
		account, stored := d.Lookup(userName(i))
		if account == nil || !stored.Equal(hash) {
			t.Fatalf("user %d: account %v, its hash is right: %v", i, account, stored.Equal(hash))
		}
		device := d.Device(*attempt(userName(i), "", deviceOf(i)).Fingerprint)
		if !device.Matches(account.User.Slots[decision.SlotPC].Digest) {
			t.Errorf("user %d is not bound to its device", i)
		}
	}
}

func TestMemoryRelayStopsWithContext(t *testing.T) {
	relay, err := memoryRelay(1, time.Second, mustHash(t))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := relay.read(ctx); err == nil {
		t.Error("read returned no error, want the context's")
	}
}

// TestRetained measures something whose size is known.
func TestRetained(t *testing.T) {
	const size = 8 << 20
	got, err := retained(func() (any, error) {
		garbage := make([]byte, 4*size)
		kept := make([]byte, size)
		copy(kept, garbage)
		return kept, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(got-size) > size/4 {
		t.Errorf("retained %.0f bytes, want about %d", got, size)
	}
}

func TestLargestShardCountsOwnedKeys(t *testing.T) {
	uids := make([]types.UID, 100)
	for i := range uids {
		uids[i] = types.UID(userName(i))
	}
	secrets, err := credentialSecrets("bench", uids, mustHash(t))
	if err != nil {
		t.Fatal(err)
	}
	entries := 0
	for _, s := range secrets {
		entries += len(s.Data)
		without := s.Size()
		s.ManagedFields = ownedKeys(s)
		if !json.Valid([]byte(s.ManagedFields[0].FieldsV1.GetRawString())) {
			t.Fatalf("managed fields of %s are no JSON", s.Name)
		}
		if len(s.Data) > 0 && s.Size() <= without {
			t.Errorf("managed fields of %s do not count", s.Name)
		}
	}
	if entries != len(uids) {
		t.Errorf("there are %d entries, want %d", entries, len(uids))
	}
}

func TestWithin(t *testing.T) {
	bucket := func(bound float64, n uint64) *dto.Bucket {
		return &dto.Bucket{UpperBound: &bound, CumulativeCount: &n}
	}
	h := &dto.Histogram{Bucket: []*dto.Bucket{bucket(0.001, 90), bucket(0.002, 95), bucket(0.004, 100)}}
	for n, want := range map[float64]float64{0: 0.001, 90: 0.001, 91: 0.002, 100: 0.004, 101: math.Inf(1)} {
		if got := within(h, n); got != want {
			t.Errorf("%.0f observations are within %g, want %g", n, got, want)
		}
	}
	if got := within(nil, 1); !math.IsInf(got, 1) {
		t.Errorf("without a histogram: %g, want +Inf", got)
	}
}

func mustHash(t *testing.T) password.Hash {
	t.Helper()
	_, hash, err := newCredential()
	if err != nil {
		t.Fatal(err)
	}
	return hash
}

func TestSinceSubtractsWhatWasThere(t *testing.T) {
	histogram := func(sum float64, cumulative ...uint64) *dto.Histogram {
		h := &dto.Histogram{SampleSum: &sum, SampleCount: &cumulative[len(cumulative)-1]}
		for i, n := range cumulative {
			bound := float64(i + 1)
			h.Bucket = append(h.Bucket, &dto.Bucket{UpperBound: &bound, CumulativeCount: &n})
		}
		return h
	}
	now := histogram(20, 4, 10)
	for name, tc := range map[string]struct {
		before   *dto.Histogram
		wantSum  float64
		wantLow  uint64
		wantHigh uint64
	}{
		"nothing before":   {before: nil, wantSum: 20, wantLow: 4, wantHigh: 10},
		"something before": {before: histogram(5, 3, 4), wantSum: 15, wantLow: 1, wantHigh: 6},
	} {
		t.Run(name, func(t *testing.T) {
			got := since(tc.before, now)
			low, high := got.GetBucket()[0].GetCumulativeCount(), got.GetBucket()[1].GetCumulativeCount()
			if got.GetSampleSum() != tc.wantSum || low != tc.wantLow || high != tc.wantHigh || got.GetSampleCount() != tc.wantHigh {
				t.Errorf("got %v, want a sum of %g in buckets of %d and %d", got, tc.wantSum, tc.wantLow, tc.wantHigh)
			}
		})
	}
}
