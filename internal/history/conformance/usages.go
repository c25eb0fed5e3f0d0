package conformance

import (
	"fmt"
	"math"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/tegata-dev/tegata/internal/history"
)

func testUsagePages(t *testing.T, s *subject) {
	_, want := fill(t, s, 300)
	for _, q := range []history.UsageQuery{
		{}, {Namespace: "relays"}, {Namespace: "relays", Server: "asp1"}, {Server: "asp2"}, {User: "taro"},
		{Namespace: "other", User: "Ωmega"}, {Namespace: "nowhere"}, {Namespace: "relays", User: "nobody"},
	} {
		for _, limit := range []int{1, 2, 3, history.MaxPage} {
			q.Limit = limit
			if diff := gocmp.Diff(want.usages(q), s.usages(q), equateEmpty); diff != "" {
				t.Errorf("%s (-want +got):\n%s", fmt.Sprintf("%+v", q), diff)
			}
		}
	}
}

// testUsages is the story of one user.
func testUsages(t *testing.T, s *subject) {
	m := newMaker()
	login := m.success(began, "taro")
	end := m.later(&login)
	end.LastSeen, end.End, end.EndTime = 0, history.Logout, history.At(began.Add(33*time.Minute+36*time.Second))
	seen := m.later(&login)
	seen.End, seen.EndTime, seen.LastSeen = history.EndNone, 0, history.At(began.Add(10*time.Minute))
	denied := m.failure(began.Add(-40*24*time.Hour), "taro", "PasswordMismatch")
	usage := func(connected time.Duration, attempts, failures uint64, first, last history.Millis) []history.Usage {
		return []history.Usage{{
			Namespace: "relays", Server: "asp1", User: "taro",
			Connected: connected, Attempts: attempts, Failures: failures, First: first, Last: last,
		}}
	}
	for _, step := range []struct {
		name string
		put  history.Record
		want []history.Usage
	}{
		{"a login", login, usage(0, 1, 0, login.Start(), login.Start())},
		{"a sign of life", seen, usage(10*time.Minute, 1, 0, login.Start(), login.Start())},
		{"its end", end, usage(33*time.Minute+36*time.Second, 1, 0, login.Start(), login.Start())},
		{"its end again", end, usage(33*time.Minute+36*time.Second, 1, 0, login.Start(), login.Start())},
		{"a sign of life, late", seen, usage(33*time.Minute+36*time.Second, 1, 0, login.Start(), login.Start())},
		{"a denial of before, late", denied, usage(33*time.Minute+36*time.Second, 2, 1, denied.Start(), login.Start())},
	} {
		s.put(step.put)
		got := s.usages(history.UsageQuery{Namespace: "relays", User: "taro", Limit: 10})
		if diff := gocmp.Diff(step.want, got); diff != "" {
			t.Errorf("after %s (-want +got):\n%s", step.name, diff)
		}
	}
}

// testHugeTotals tells of more than a time.Duration holds: connections of a month each, of a user who cannot have had
// them.
func testHugeTotals(t *testing.T, s *subject) {
	m := newMaker()
	for range 4 {
		batch := make([]history.Record, history.MaxBatch)
		for i := range batch {
			r := m.success(began, "taro")
			r.End, r.EndTime = history.Logout, r.Start()+31*24*3_600_000
			r.Expire = r.EndTime
			batch[i] = r
		}
		s.put(batch...)
	}
	for _, u := range s.usages(history.UsageQuery{Namespace: "relays", User: "taro", Limit: 10}) {
		if u.Connected != math.MaxInt64 || u.Attempts != 4*history.MaxBatch {
			t.Errorf("got %s in %d attempts, want the longest time there is", u.Connected, u.Attempts)
		}
	}
}

// testServers wants those, too, whose attempts are nobody's.
func testServers(t *testing.T, s *subject) {
	m := newMaker()
	nobodys := m.failure(began, "", "UnknownUser")
	nobodys.Namespace, nobodys.Server = "other", "asp9"
	elsewhere, late := nobodys, m.success(began.AddDate(0, 2, 0), "taro")
	elsewhere.Namespace, elsewhere.Server = "relays", "asp0"
	s.put(nobodys, elsewhere, late, m.success(began, "taro"))
	servers := func() []history.ServerName {
		t.Helper()
		got, err := s.store.Servers(t.Context())
		if err != nil {
			t.Fatalf("servers: %v", err)
		}
		return got
	}
	want := []history.ServerName{{Namespace: "other", Name: "asp9"}, {Namespace: "relays", Name: "asp0"}, {Namespace: "relays", Name: "asp1"}}
	if diff := gocmp.Diff(want, servers()); diff != "" {
		t.Errorf("servers (-want +got):\n%s", diff)
	}
	s.expire("other", "asp9", began.AddDate(0, 2, 0))
	if diff := gocmp.Diff(want[1:], servers()); diff != "" {
		t.Errorf("after retention (-want +got):\n%s", diff)
	}
}
