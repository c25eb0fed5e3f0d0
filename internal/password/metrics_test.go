package password

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewPedanticRegistry()
		h := hold(Options{Slots: 1, Queue: 2, PreferredQueue: 1, Metrics: NewMetrics(registry)})
		canceled, cancel := context.WithCancel(t.Context())
		h.login(t.Context(), "runs", Ordinary)
		h.login(t.Context(), "waits", Ordinary)
		h.login(canceled, "gives up", Ordinary)
		h.login(t.Context(), "refused", Ordinary)
		h.login(t.Context(), "bound", Preferred)
		h.login(t.Context(), "bound-refused", Preferred)
		want := `
# HELP tegata_password_hashes_in_flight Password hashes that are being computed.
# TYPE tegata_password_hashes_in_flight gauge
tegata_password_hashes_in_flight 1
# HELP tegata_password_waiting Attempts that wait for a hash slot, by priority (ordinary, preferred).
# TYPE tegata_password_waiting gauge
tegata_password_waiting{priority="ordinary"} 2
tegata_password_waiting{priority="preferred"} 1
# HELP tegata_password_refused_total Attempts that got no hash slot, because the queue was full or they could not wait longer, by priority.
# TYPE tegata_password_refused_total counter
tegata_password_refused_total{priority="ordinary"} 1
tegata_password_refused_total{priority="preferred"} 1
`
		names := []string{"tegata_password_hashes_in_flight", "tegata_password_waiting", "tegata_password_refused_total"}
		if err := testutil.GatherAndCompare(registry, strings.NewReader(want), names...); err != nil {
			t.Error(err)
		}
		cancel()
		synctest.Wait()
		h.finish(3)
		h.wantIdle(t, 1)
		want = strings.NewReplacer("in_flight 1", "in_flight 0", `waiting{priority="ordinary"} 2`, `waiting{priority="ordinary"} 0`,
			`waiting{priority="preferred"} 1`, `waiting{priority="preferred"} 0`,
			`refused_total{priority="ordinary"} 1`, `refused_total{priority="ordinary"} 2`).Replace(want)
		if err := testutil.GatherAndCompare(registry, strings.NewReader(want), names...); err != nil {
			t.Error(err)
		}
		problems, err := testutil.GatherAndLint(registry)
		if err != nil || len(problems) > 0 {
			t.Errorf("lint: %v %v", problems, err)
		}
	})
}

func TestMetricsCountEveryHash(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	v := NewVerifier(Options{Slots: 1, Metrics: NewMetrics(registry)})
	for _, name := range []string{"bcrypt 2y, crypt_blowfish", "sha512-crypt, openssl passwd -6"} {
		if _, err := v.Verify(t.Context(), mustParse(t, vectors[name].encoded), []byte(horse), Ordinary); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := v.Verify(t.Context(), Hash{}, []byte(horse), Ordinary); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Hash(t.Context(), []byte(horse)); err != nil {
		t.Fatal(err)
	}
	got := map[string]uint64{}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if h := m.GetHistogram(); h != nil {
				got[m.GetLabel()[0].GetValue()] = h.GetSampleCount()
			}
		}
	}
	for algorithm, want := range map[string]uint64{"argon2id": 2, "bcrypt": 1, "sha512-crypt": 1} {
		if got[algorithm] != want {
			t.Errorf("%d %s hashes counted, want %d", got[algorithm], algorithm, want)
		}
	}
}
