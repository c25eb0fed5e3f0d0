package historyserver

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/tegata-dev/tegata/internal/history"
)

// TestClockSteps sets this server's clock, or the API server's, and goes on: nothing of the present is dropped, no
// connection that lasts is closed, and no record of the present is refused.
func TestClockSteps(t *testing.T) {
	const year = 8760 * time.Hour
	for name, tc := range map[string]struct {
		own, theirs time.Duration // by how much they are wrong
		away        bool          // the API server, when ours is set
		want        time.Duration // by which time is judged what is over
	}{
		"both are right":               {0, 0, false, 0},
		"ours jumps ahead":             {20 * year, 0, false, 0},
		"ours jumps back":              {-5 * year, 0, false, -5 * year},
		"theirs jumps ahead":           {0, 20 * year, false, 0},
		"theirs jumps back":            {0, -5 * year, false, -5 * year},
		"ours jumps ahead, unnoticed":  {20 * year, 0, true, 0},
		"ours jumps an hour and a bit": {61 * time.Minute, 0, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			store, uptime, own := newMemory(), time.Duration(0), began
			here := types.NamespacedName{Namespace: "relays", Name: "asp1"}
			servers := &said{retentions: map[types.NamespacedName]time.Duration{here: 10 * time.Hour}, now: began}
			h := newHousekeeper(store, servers)
			h.clocks = &clocks{own: func() time.Time { return own }, uptime: func() time.Duration { return uptime }}
			round := func() {
				t.Helper()
				if err := h.expire(t.Context()); err != nil && !tc.away {
					t.Fatal(err)
				}
				if err := h.closeLost(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			round()
			uptime += time.Hour
			own = began.Add(uptime).Add(tc.own)
			servers.now = began.Add(uptime).Add(tc.theirs)
			if tc.away {
				servers.err = errDatabase
			}
			round()
			present := began.Add(uptime)
			want := present.Add(tc.want)
			if diff := cmp.Diff(map[string]time.Time{"relays/asp1": want.Add(-10 * time.Hour)}, store.expired); diff != "" {
				t.Errorf("dropped before (-want +got):\n%s", diff)
			}
			if got := store.lost[len(store.lost)-1]; !got.Equal(want.Add(-10 * time.Minute)) {
				t.Errorf("closed is what expired before %s, want %s", got, want.Add(-10*time.Minute))
			}
			now := success(present, "taro")
			now.End, now.EndTime, now.LastSeen = history.EndNone, 0, history.At(present)
			if problem := check(&now, h.clocks.earliest(), h.clocks.latest()); problem != "" {
				t.Errorf("a record of the present is refused: %s", problem)
			}
		})
	}
}

// TestOneClock: as long as the API server has not told the time, there is only ours.
func TestOneClock(t *testing.T) {
	c := newClocks(func() time.Time { return began })
	for _, got := range []time.Time{c.earliest(), c.latest(), c.theirs()} {
		if !got.Equal(began) {
			t.Errorf("got %s", got)
		}
	}
	record := success(began.Add(2*time.Hour), "taro")
	if problem := check(&record, c.earliest(), c.latest()); !strings.Contains(problem, "more than an hour from now") {
		t.Errorf("a record of the future: %q", problem)
	}
}
