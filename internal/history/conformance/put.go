package conformance

import (
	"errors"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/tegata-dev/tegata/internal/history"
)

func testAnyOrder(t *testing.T, s *subject) {
	m := newMaker()
	tellings := m.tellings(400)
	told := append(m.shuffled(tellings), m.shuffled(tellings[:len(tellings)/2])...)
	for _, batch := range m.batches(told, 100) {
		s.put(batch...)
	}
	want := newModel(told...)
	s.wantModel(want)
	for _, batch := range m.batches(m.shuffled(tellings), 300) {
		if stored := s.put(batch...); stored.Same != len(batch) {
			t.Errorf("told again: got %+v, want %d the same", stored, len(batch))
		}
	}
	s.wantModel(want)
}

func testRoundTrip(t *testing.T, s *subject) {
	m := newMaker()
	full := m.success(began.Add(123*time.Millisecond), "taro")
	full.UserName, full.Destination, full.SourceViewer = "太郎 'or 1=1", "机の上🖥", `a"b\c%_`
	full.Enrolled, full.Partial = true, true
	full.End, full.EndTime, full.LastSeen = history.Refused, full.Start()+1, full.Start()
	full.ReceivedBytes, full.SentBytes = 1<<62, 1<<63+7
	full.CorrelationID, full.MACAddress, full.SourceAddress = "01hzZ", "00:00:5e:00:53:0A", "::FFFF:C000:207"
	bare := history.Record{ID: m.id(began), Namespace: "relays", Server: "asp1", Result: history.Failure, Reason: "Throttled"}
	for name, want := range map[string]history.Record{
		"full": full, "bare": bare, "success": m.success(began, "jiro"), "failure": m.failure(began, "jiro", "DeviceMismatch"),
	} {
		s.wantStored(history.Stored{New: 1}, want)
		if diff := gocmp.Diff(want, s.get("relays", want.ID)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func testStored(_ *testing.T, s *subject) {
	m := newMaker()
	a, b := m.success(began, "taro"), m.failure(began, "taro", "DeviceMismatch")
	ended := a
	ended.End, ended.EndTime = history.Logout, a.Start()+60_000
	s.wantStored(history.Stored{})
	s.wantStored(history.Stored{New: 2}, a, b)
	s.wantStored(history.Stored{Same: 2}, b, a)
	s.wantStored(history.Stored{New: 1, Changed: 1, Same: 1}, m.success(began, "jiro"), ended, b)
	s.wantStored(history.Stored{Same: 2}, a, ended)
}

// testUserChanges tells first what a sidecar knows that did not serve the login.
func testUserChanges(t *testing.T, s *subject) {
	m := newMaker()
	nobodys, others := m.success(began, "taro"), m.success(began.Add(time.Hour), "taro")
	first, second := m.later(&nobodys), m.later(&others)
	first.User, second.User = "", "jiro"
	s.put(first, second)
	s.wantModel(newModel(first, second))
	s.wantStored(history.Stored{Changed: 2}, others, nobodys)
	want := newModel(first, second, others, nobodys)
	s.wantModel(want)
	s.wantList("those of taro", history.Filter{Namespace: "relays", User: "taro"}, 1, []history.Record{
		want.records[modelKey{"relays", nobodys.ID}], want.records[modelKey{"relays", others.ID}],
	})
	s.wantList("those of jiro", history.Filter{Namespace: "relays", User: "jiro"}, 1, nil)
	if got := s.usages(history.UsageQuery{Namespace: "relays", User: "jiro", Limit: 10}); len(got) > 0 {
		t.Errorf("jiro, who has no record any more: got %+v", got)
	}
}

// testOtherServer has one server's sidecar tell of another's record: it is left out, for it would change what
// another relay's administrators read.
func testOtherServer(t *testing.T, s *subject) {
	m := newMaker()
	r := m.success(began, "taro")
	s.put(r)
	forged := r
	forged.Server, forged.End, forged.EndTime = "asp2", history.Logout, r.Start()
	s.wantStored(history.Stored{Dropped: 1}, forged)
	if diff := gocmp.Diff(r, s.get("relays", r.ID)); diff != "" {
		t.Errorf("after another server's telling (-want +got):\n%s", diff)
	}
	forged.Namespace = "other"
	s.wantStored(history.Stored{New: 1}, forged) // a namespace's records are its own
	if diff := gocmp.Diff(r, s.get("relays", r.ID)); diff != "" {
		t.Errorf("after another namespace's telling (-want +got):\n%s", diff)
	}
	if diff := gocmp.Diff(forged, s.get("other", r.ID)); diff != "" {
		t.Errorf("in the other namespace (-want +got):\n%s", diff)
	}
}

func testConcurrentPuts(t *testing.T, s *subject) {
	m := newMaker()
	tellings := m.tellings(200)
	var (
		writers sync.WaitGroup
		mu      sync.Mutex
		total   history.Stored
	)
	for range 8 {
		batches := m.batches(m.shuffled(tellings), 50)
		writers.Go(func() {
			for _, batch := range batches {
				stored, err := s.store.Put(t.Context(), batch)
				if err != nil {
					t.Errorf("put: %v", err)
					return
				}
				mu.Lock()
				total.New += stored.New
				total.Changed += stored.Changed
				mu.Unlock()
			}
		})
	}
	writers.Wait()
	want := newModel(tellings...)
	s.wantModel(want)
	if total.New != len(want.records) {
		t.Errorf("%d records were told to be new, want %d", total.New, len(want.records))
	}
}

func testNotFound(t *testing.T, s *subject) {
	m := newMaker()
	r := m.success(began, "taro")
	s.put(r)
	for name, key := range map[string]modelKey{
		"other namespace":          {"other", r.ID},
		"other record, same month": {"relays", m.id(began)},
		"other month":              {"relays", m.id(began.AddDate(0, 3, 0))},
		"zero":                     {},
	} {
		if _, err := s.store.Get(t.Context(), key.namespace, key.id); !errors.Is(err, history.ErrNotFound) {
			t.Errorf("%s: got %v, want ErrNotFound", name, err)
		}
	}
}

func testClosed(t *testing.T, s *subject) {
	m := newMaker()
	s.put(m.success(began, "taro"))
	if err := s.store.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	if _, err := s.store.Put(t.Context(), []history.Record{m.success(began, "taro")}); err == nil {
		t.Error("a closed store keeps records")
	}
	if _, err := s.store.List(t.Context(), history.Query{Limit: 1}); err == nil {
		t.Error("a closed store lists records")
	}
	if err := s.store.Ping(t.Context()); err == nil {
		t.Error("a closed store answers")
	}
}

// testContradiction has a sidecar that was taken over tell anew of what was told: nothing that could hide an attempt
// is taken, and totals stay.
func testContradiction(_ *testing.T, s *subject) {
	m := newMaker()
	denied, admitted := m.failure(began, "taro", "DeviceMismatch"), m.success(began, "jiro")
	s.put(denied, admitted)
	want := newModel(denied, admitted)
	forgeries := map[string]func() history.Record{
		"a success for a failure": func() history.Record {
			r := m.success(began, "taro")
			r.ID, r.UserName = denied.ID, "\U0010ffff" // whatever order there may be of texts
			return r
		},
		"a session for a failure": func() history.Record { return m.later(&denied) },
		"a failure for a success": func() history.Record {
			r := m.failure(began, "jiro", "DeviceMismatch")
			r.ID = admitted.ID
			return r
		},
		"another reason":  func() history.Record { r := denied; r.Reason = "Throttled"; return r },
		"another user":    func() history.Record { r := denied; r.User = "zzz"; return r },
		"nobody":          func() history.Record { r := admitted; r.User, r.UserName = "", ""; return r },
		"another address": func() history.Record { r := admitted; r.SourceAddress = "203.0.113.1"; return r },
		"another device":  func() history.Record { r := admitted; r.DeviceDigest = "k1:zzz"; return r },
	}
	for _, forge := range forgeries {
		s.wantStored(history.Stored{Dropped: 1}, forge())
		s.wantModel(want)
	}
}
