package witness

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/oklog/ulid/v2"
	"go.uber.org/goleak"

	"github.com/tegata-dev/tegata/internal/authn"
	"github.com/tegata-dev/tegata/internal/decision"
	"github.com/tegata-dev/tegata/internal/history"
	"github.com/tegata-dev/tegata/internal/session"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var began = time.Date(2026, 11, 15, 10, 17, 0, 250_000_000, time.UTC)

// stage has a Witness see sessions as the sidecar's does.
type stage struct {
	*Witness
	*session.Sessions
	t   *testing.T
	now time.Time

	mu      sync.Mutex
	records []history.Record
	busy    bool
}

func (s *stage) Record(r *history.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := r.Validate(); err != nil {
		s.t.Errorf("the history server refuses it: %v: %+v", err, r)
	}
	s.records = append(s.records, *r)
}

func (s *stage) Busy() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.busy
}

// said takes what was recorded since it was last asked.
func (s *stage) said() []history.Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	records := s.records
	s.records = nil
	return records
}

func newStage(t *testing.T) *stage {
	t.Helper()
	keys, err := session.ParseKeys(session.NewKeys(began))
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{t: t, now: began}
	s.Witness = New(Options{
		Recorder: s, Sidecar: "pod-1", Interval: 5 * time.Minute, Now: func() time.Time { return s.now },
		NameOf: func(uid string) string { return strings.TrimPrefix(uid, "uid-") },
	})
	s.Sessions = session.New(session.Options{
		Issuer: "relays/asp1", Keys: func() *session.Keys { return keys }, MaxPerUser: func() int { return 2 },
		Keep: func(*session.Live) {}, Observers: []session.Observer{s.Witness}, Now: func() time.Time { return s.now },
	})
	return s
}

// elsewhere is a sidecar of the same server.
func (s *stage) elsewhere() *stage {
	o := newStage(s.t)
	o.Sessions = session.New(session.Options{
		Issuer: "relays/asp1", Keys: s.Keys, MaxPerUser: func() int { return 2 }, Keep: func(*session.Live) {},
		Observers: []session.Observer{o.Witness}, Now: func() time.Time { return o.now },
	})
	return o
}

var mac, _ = decision.ParseMAC("00:00:5e:00:53:01")

func attempt(id string) *authn.Attempt {
	return &authn.Attempt{
		Listener: "login", ID: id, Arrival: began, UserName: "Taro", Password: []byte("hunter2"), Program: decision.ProgramViewer,
		Viewer: decision.ViewerPC, MAC: mac, Source: netip.MustParseAddr("192.0.2.7"), Destination: "office",
	}
}

var (
	account = &authn.Account{Name: "taro", UID: "uid-taro"}
	device  = decision.Device{Digests: []decision.Digest{"k1:abc", "k0:old"}, Kind: decision.KindOpaque}
)

func (s *stage) begin() (*session.Live, string) {
	s.t.Helper()
	l, token, err := s.Begin(session.Session{
		ID: session.NewID(s.now), UID: "uid-taro", Program: decision.ProgramViewer, Viewer: decision.ViewerPC, MAC: mac,
		Device: device, BindingID: "b", Begin: s.now, Expire: s.now.Add(8 * time.Hour),
	}, session.Details{User: "taro", Listener: "login", Source: "192.0.2.7", Destination: "office"})
	if err != nil {
		s.t.Fatal(err)
	}
	return l, token
}

func mustID(t *testing.T, id string) history.ID {
	t.Helper()
	parsed, err := ulid.ParseStrict(id)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func TestDeniedAttempt(t *testing.T) {
	s := newStage(t)
	id := authn.NewCorrelationID(began)
	denied := decision.Outcome{Verdict: decision.Deny, Reason: decision.DeviceMismatch, Slot: decision.SlotPC}
	s.Attempted(authn.Event{Account: account, Attempt: attempt(id), UserName: "Taro", Device: device, Result: authn.Result{Outcome: denied}, Time: began})
	want := history.Record{
		ID: mustID(t, id), UserName: "Taro", User: "taro", Program: "viewer", Viewer: "pc", Slot: "pc", Result: history.Failure,
		Reason: "DeviceMismatch", SourceAddress: "192.0.2.7", MACAddress: mac.String(), Destination: "office",
		Listener: "login", Sidecar: "pod-1", DeviceDigest: "k1:abc",
	}
	if diff := cmp.Diff([]history.Record{want}, s.said()); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
}

func TestAttemptAtNobodysName(t *testing.T) {
	s := newStage(t)
	id := authn.NewCorrelationID(began)
	a := &authn.Attempt{Listener: "radius", ID: id, UserName: "hunter2", Program: decision.ProgramClient, SourceViewer: "taro's PC"}
	denied := decision.Outcome{Verdict: decision.Deny, Reason: decision.UnknownUser, Slot: decision.SlotNone}
	s.Attempted(authn.Event{Attempt: a, Result: authn.Result{Outcome: denied}})
	want := history.Record{
		ID: mustID(t, id), Program: "client", Result: history.Failure, Reason: "UnknownUser", SourceViewer: "taro's PC",
		Listener: "radius", Sidecar: "pod-1",
	}
	if diff := cmp.Diff([]history.Record{want}, s.said()); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
}

// admit is a login that begins a session.
func (s *stage) admit() (*session.Live, string) {
	s.t.Helper()
	l, token := s.begin()
	s.Attempted(authn.Event{Account: account, Attempt: attempt(authn.NewCorrelationID(began)), UserName: "Taro", Device: device, Time: s.now, Result: authn.Result{
		Outcome: decision.Outcome{Verdict: decision.Enroll, Slot: decision.SlotPC}, Enrolled: true, ExpireTime: l.Expire, Session: l, Token: token,
	}})
	return l, token
}

func TestAdmittedLogin(t *testing.T) {
	s := newStage(t)
	l, token := s.admit()
	got := s.said()
	if len(got) != 1 || len(got[0].CorrelationID) != 26 {
		t.Fatalf("recorded %+v", got)
	}
	want := history.Record{
		ID: mustID(t, l.ID), UserName: "Taro", User: "taro", Program: "viewer", Viewer: "pc", Slot: "pc", Result: history.Success,
		Enrolled: true, Expire: history.At(l.Expire), LastSeen: history.At(began), SourceAddress: "192.0.2.7",
		MACAddress: mac.String(), Destination: "office", Listener: "login", Sidecar: "pod-1", CorrelationID: got[0].CorrelationID,
		DeviceDigest: "k1:abc",
	}
	if diff := cmp.Diff(want, got[0]); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
	if text := fmt.Sprint(got); strings.Contains(text, "hunter2") || strings.Contains(text, token) {
		t.Error("a secret is recorded")
	}
}

// TestEnds: however a session ends, and wherever, merged with its login that is the truth.
func TestEnds(t *testing.T) {
	for name, tc := range map[string]struct {
		end  func(s *stage, l *session.Live, token string) *stage // where it ended
		want history.End
		at   time.Duration
	}{
		"logout": {func(s *stage, l *session.Live, _ string) *stage { s.End(l, session.Logout); return s }, history.Logout, time.Hour},
		"stop": {func(s *stage, l *session.Live, _ string) *stage {
			l.NoteTraffic(session.Traffic{Received: 5, Sent: 1 << 40})
			s.End(l, session.Stopped)
			return s
		}, history.Stopped, time.Hour},
		"refused":  {func(s *stage, l *session.Live, _ string) *stage { s.End(l, session.Refused); return s }, history.Refused, time.Hour},
		"replaced": {func(s *stage, _ *session.Live, _ string) *stage { s.begin(); s.begin(); return s }, history.Replaced, time.Hour},
		"its time over": {func(s *stage, l *session.Live, _ string) *stage {
			s.now = l.Expire.Add(7 * time.Second)
			s.Sweep(func(*session.Live) bool { return true })
			return s
		}, history.Expired, 8 * time.Hour},
		"logout elsewhere, where it was used": {func(s *stage, _ *session.Live, token string) *stage {
			o := s.elsewhere()
			o.now = s.now
			l, err := o.Find(token)
			if err != nil {
				s.t.Fatal(err)
			}
			o.Admit(l)
			o.End(l, session.Logout)
			return o
		}, history.Logout, time.Hour},
		"stop elsewhere, where it was never seen": {func(s *stage, l *session.Live, _ string) *stage {
			o := s.elsewhere()
			o.now = s.now
			o.EndID(l.UID, l.ID, session.Stopped)
			return o
		}, history.Stopped, time.Hour},
		"clock set back": {func(s *stage, l *session.Live, _ string) *stage {
			s.now = began.Add(-24 * time.Hour)
			s.End(l, session.Logout)
			return s
		}, history.Logout, 0},
		"clock set forward": {func(s *stage, l *session.Live, _ string) *stage {
			s.now = began.Add(10000 * time.Hour)
			s.Admit(l)
			s.End(l, session.Logout)
			return s
		}, history.Logout, 8 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			l, token := s.admit()
			login := s.said()[0]
			s.now = began.Add(time.Hour)
			var ends []history.Record
			for _, r := range tc.end(s, l, token).said() {
				if r.ID == login.ID {
					ends = append(ends, r)
				}
			}
			if len(ends) != 1 || !ends[0].Partial || ends[0].UserName != "" {
				t.Fatalf("recorded %+v", ends)
			}
			got := history.Merge(ends[0], login)
			if got.End != tc.want || got.Connected() != tc.at || got.UserName != "Taro" || got.Partial {
				t.Errorf("%s after %s, want %s after %s: %+v", got.End, got.Connected(), tc.want, tc.at, got)
			}
			if name == "stop" && got.SentBytes != 1<<40 {
				t.Errorf("%d bytes", got.SentBytes)
			}
		})
	}
}

// TestSignsOfLife: each session is told of once an interval, if there is news, and a last time at the stop.
func TestSignsOfLife(t *testing.T) {
	s := newStage(t)
	quiet, _ := s.admit()
	used, token := s.admit()
	s.said()
	s.Rest()
	if got := s.said(); len(got) != 0 {
		t.Errorf("there is no news, but %+v", got)
	}
	s.now = began.Add(10 * time.Minute)
	s.Admit(used)
	s.Rest()
	got := s.said()
	if len(got) != 1 || got[0].ID != mustID(t, used.ID) || got[0].LastSeen != history.At(s.now) || !got[0].Partial || got[0].User != "taro" {
		t.Errorf("recorded %+v", got)
	}
	quiet.NoteTraffic(session.Traffic{Received: 3})
	s.Rest()
	if got = s.said(); len(got) != 1 || got[0].ReceivedBytes != 3 {
		t.Errorf("recorded %+v", got)
	}

	o := s.elsewhere()
	o.now = s.now
	l, err := o.Find(token)
	if err != nil {
		t.Fatal(err)
	}
	o.Admit(l)
	o.Rest()
	want := history.Record{
		ID: mustID(t, used.ID), Partial: true, User: "taro", Program: "viewer", Viewer: "pc", Slot: "pc", Result: history.Success,
		Expire: history.At(used.Expire.Truncate(time.Second)), LastSeen: history.At(s.now), MACAddress: mac.String(), DeviceDigest: "k1:abc",
	}
	if diff := cmp.Diff([]history.Record{want}, o.said()); diff != "" {
		t.Errorf("of a session of another sidecar (-want +got):\n%s", diff)
	}
	s.End(used, session.Logout)
	s.End(quiet, session.Logout)
	s.said()
	s.now = s.now.Add(time.Minute)
	s.Rest()
	if got := s.said(); len(got) != 0 {
		t.Errorf("told of what has ended: %+v", got)
	}
	for i := range s.live {
		if len(s.live[i].told) > 0 {
			t.Error("what has ended is still known")
		}
	}
}

// TestProgressTakesTurns: all are told of within an interval, and none while there is too much to keep.
func TestProgressTakesTurns(t *testing.T) {
	s := newStage(t)
	s.Interval = 64 * time.Millisecond
	const users = 200
	for n := range users {
		if _, _, err := s.Begin(session.Session{
			ID: session.NewID(s.now), UID: fmt.Sprint("uid-", n), Program: decision.ProgramClient, Begin: s.now, Expire: s.now.Add(time.Hour),
		}, session.Details{}); err != nil {
			t.Fatal(err)
		}
	}
	run := func() (stop func()) {
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { s.Run(ctx) })
		return func() { cancel(); wg.Wait() }
	}
	s.busy = true
	stop := run()
	time.AfterFunc(100*time.Millisecond, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.records) > 0 {
			t.Errorf("told of %d sessions, although there is too much to keep", len(s.records))
		}
		s.busy = false
	})
	defer stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(30 * time.Second); ; <-tick.C {
		s.mu.Lock()
		n := len(s.records)
		s.mu.Unlock()
		if n == users {
			break
		}
		if n > users || time.Now().After(end) {
			t.Fatalf("%d records of %d sessions", n, users)
		}
	}
	most := 0
	for i := range s.live {
		most = max(most, len(s.live[i].told))
	}
	if most > users/4 {
		t.Errorf("one share has %d of %d sessions", most, users)
	}
}

// FuzzAttempts: whatever people send, what is recorded of it is taken by the history server.
func FuzzAttempts(f *testing.F) {
	f.Add("Taro", "office", "v", uint8(1), uint8(1), uint8(3), []byte{192, 0, 2, 7})
	f.Add("a\x00\nb\u2028\xff", strings.Repeat("é", 200), "\x1b[31m", uint8(9), uint8(9), uint8(99), []byte{})
	f.Fuzz(func(t *testing.T, user, destination, viewer string, program, kind, reason uint8, source []byte) {
		s := newStage(t)
		addr, _ := netip.AddrFromSlice(source)
		s.Sidecar = viewer + destination
		s.Attempted(authn.Event{Account: account, UserName: user, Device: device, Attempt: &authn.Attempt{
			Listener: "login", ID: authn.NewCorrelationID(began), Program: decision.Program(program % 3), Viewer: decision.Viewer(kind % 4),
			Destination: destination, SourceViewer: viewer, Source: addr,
		}, Result: authn.Result{Outcome: decision.Outcome{Verdict: decision.Deny, Reason: decision.Reasons()[int(reason)%len(decision.Reasons())]}}})
		if len(s.said()) != 1 {
			t.Error("not recorded")
		}
	})
}
