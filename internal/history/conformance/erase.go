package conformance

import (
	"context"
	"errors"
	"maps"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/tegata-dev/tegata/internal/history"
)

func (s *subject) closeLost(expired time.Time, limit int) int {
	s.t.Helper()
	n, err := s.store.CloseLost(s.t.Context(), expired, limit)
	if err != nil {
		s.t.Fatalf("close lost: %v", err)
	}
	return n
}

func testCloseLost(t *testing.T, s *subject) {
	m := newMaker()
	var tellings []history.Record
	for i := range 6 {
		login := m.success(began.AddDate(0, i/2, 0), "taro")
		seen := m.later(&login)
		seen.End, seen.EndTime, seen.LastSeen = history.EndNone, 0, history.At(login.Start().Time().Add(time.Duration(i)*time.Minute))
		tellings = append(tellings, login, seen, m.failure(began, "taro", "DeviceMismatch"))
	}
	ended := m.success(began, "jiro")
	ended.End, ended.EndTime = history.Logout, ended.Start()
	lasting := m.success(began, "hanako")
	lasting.Expire = history.At(began.AddDate(1, 0, 0))
	tellings = append(tellings, ended, lasting)
	s.put(tellings...)
	want := newModel(tellings...)

	if n := s.closeLost(began.Add(8*time.Hour), 100); n != 0 {
		t.Errorf("none can have expired, and %d are closed", n)
	}
	closed := 0
	for _, limit := range []int{1, 4, 100, 100} {
		n := s.closeLost(began.AddDate(0, 6, 0), limit)
		if n > limit {
			t.Errorf("%d are closed, want at most %d", n, limit)
		}
		closed += n
	}
	if closed != 6 {
		t.Errorf("%d are closed, want 6", closed)
	}
	for key, r := range want.records {
		if r.Open() && r.User == "taro" {
			r.End, r.EndTime = history.Lost, max(r.Start(), r.LastSeen)
			want.records[key] = r
		}
	}
	s.wantModel(want)

	late := tellings[0]
	late.End, late.EndTime = history.Stopped, late.Start()+3_600_000
	s.wantStored(history.Stored{Changed: 1}, late)
	key := modelKey{late.Namespace, late.ID}
	want.records[key] = history.Merge(want.records[key], late)
	s.wantModel(want)
}

func (s *subject) forget(who history.Person, now time.Time) int {
	s.t.Helper()
	n, err := s.store.Forget(s.t.Context(), who, now)
	if err != nil {
		s.t.Fatalf("forget: %v", err)
	}
	return n
}

func testForget(t *testing.T, s *subject) {
	m, want := fill(t, s, 300)
	listed := newModel()
	maps.Copy(listed.records, want.records)
	version, now := s.version(), began.Add(70*24*time.Hour)
	taros := func(r *history.Record) bool { return r.Namespace == "relays" && r.User == "taro" }
	theirs := want.matching(history.Filter{Namespace: "relays", User: "taro"})

	n := s.forget(history.Person{Namespace: "relays", User: "taro"}, now)
	if wantN := want.drop(taros); n != wantN || n == 0 {
		t.Errorf("%d are forgotten, want %d", n, wantN)
	}
	s.wantModel(want)
	s.followDeletions(listed, version)
	for _, r := range theirs[:3] {
		if _, err := s.store.Get(t.Context(), "relays", r.ID); !errors.Is(err, history.ErrNotFound) {
			t.Errorf("a record that is forgotten: got %v, want ErrNotFound", err)
		}
	}

	late, later := m.failure(now.Add(-time.Millisecond), "taro", "DeviceMismatch"), m.failure(now, "taro", "DeviceMismatch")
	elsewhere := late
	elsewhere.Namespace = "other"
	s.wantStored(history.Stored{Dropped: len(theirs)}, theirs...)
	s.wantStored(history.Stored{New: 2, Dropped: 1}, late, later, elsewhere)
	want.records[modelKey{"relays", later.ID}] = later
	want.records[modelKey{"other", elsewhere.ID}] = elsewhere
	s.wantModel(want)
	if n := s.forget(history.Person{Namespace: "relays", User: "nobody at all"}, now); n != 0 {
		t.Errorf("%d of nobody's are forgotten", n)
	}
}

// testForgetUserName forgets what was typed where the name is nobody's, too.
func testForgetUserName(t *testing.T, s *subject) {
	m, want := fill(t, s, 300)
	now := began.Add(70 * 24 * time.Hour)
	n := s.forget(history.Person{Namespace: "relays", User: "jiro", UserName: "The taro"}, now)
	wantN := want.drop(func(r *history.Record) bool {
		return r.Namespace == "relays" && (r.User == "jiro" || r.UserName == "The taro")
	})
	if n != wantN {
		t.Errorf("%d are forgotten, want %d", n, wantN)
	}
	s.wantModel(want)
	typed := m.failure(began, "taro", "UnknownUser")
	typed.User = ""
	s.wantStored(history.Stored{Dropped: 1}, typed)

	n = s.forget(history.Person{Namespace: "relays", UserName: "The saburo"}, now) // no User: nobody's are not all
	wantN = want.drop(func(r *history.Record) bool { return r.Namespace == "relays" && r.UserName == "The saburo" })
	if n != wantN {
		t.Errorf("%d are forgotten by the name alone, want %d", n, wantN)
	}
	s.wantModel(want)
}

func (s *subject) expire(namespace, server string, before time.Time) int {
	s.t.Helper()
	n, err := s.store.Expire(s.t.Context(), namespace, server, before)
	if err != nil {
		s.t.Fatalf("expire: %v", err)
	}
	return n
}

// testExpire has records in October, November and December.
func testExpire(t *testing.T, s *subject) {
	m, want := fill(t, s, 400)
	listed := newModel()
	maps.Copy(listed.records, want.records)
	version := s.version()
	november := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	gone := func(r *history.Record) bool {
		return r.Namespace == "relays" && r.Server == "asp1" && r.Start().Time().Before(november)
	}

	if n := s.expire("relays", "asp1", november.Add(-time.Millisecond)); n != 0 {
		t.Errorf("October is not over, and %d of its records are dropped", n)
	}
	s.wantModel(want)
	middle := november.Add(12 * 24 * time.Hour)
	wantN := want.drop(gone)
	if n := s.expire("relays", "asp1", middle); n != wantN || n == 0 {
		t.Errorf("%d are dropped, want %d", n, wantN)
	}
	s.wantModel(want)
	s.followDeletions(listed, version)
	if n := s.expire("relays", "asp1", middle); n != 0 {
		t.Errorf("%d are dropped again", n)
	}

	late, early := m.success(november.Add(-time.Hour), "taro"), m.success(middle.Add(-time.Millisecond), "taro")
	kept, other := m.success(middle, "taro"), m.success(november.Add(-time.Hour), "taro")
	other.Server = "asp2"
	s.wantStored(history.Stored{New: 2, Dropped: 2}, late, kept, early, other)
	want.records[modelKey{"relays", kept.ID}] = kept
	want.records[modelKey{"relays", other.ID}] = other
	s.wantModel(want)

	for _, namespace := range []string{"relays", "other"} {
		for _, server := range []string{"asp1", "asp2"} {
			s.expire(namespace, server, november.AddDate(0, 2, 0))
		}
	}
	s.wantModel(newModel())
	s.put(m.success(november.AddDate(0, 2, 0), "taro"))
}

// testExpireDuringList reads while months are dropped: what is not of them is there throughout.
func testExpireDuringList(t *testing.T, s *subject) {
	_, want := fill(t, s, 400)
	december := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	f := history.Filter{Since: december}
	filters := []history.Filter{{}, {Namespace: "relays", User: "taro"}, {Result: history.Failure}}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var eraser sync.WaitGroup
	eraser.Go(func() {
		defer cancel()
		for _, before := range []time.Time{december.AddDate(0, -1, 0), december} {
			for _, server := range []string{"asp1", "asp2"} {
				for _, namespace := range []string{"relays", "other"} {
					if _, err := s.store.Expire(t.Context(), namespace, server, before); err != nil {
						t.Errorf("expire: %v", err)
					}
				}
			}
		}
	})
	for done := false; !done; {
		done = ctx.Err() != nil // and once more after the last
		for _, f := range filters {
			got := s.list(f, 10)
			f.Since = december
			recent := newModel(got...).matching(f)
			if diff := gocmp.Diff(want.matching(f), recent, equateEmpty); diff != "" {
				t.Fatalf("%+v while months are dropped (-want +got):\n%s", f, diff)
			}
		}
		s.usages(history.UsageQuery{Limit: 3})
	}
	eraser.Wait()
	s.wantList("what is left", history.Filter{}, 10, want.matching(f))
}
