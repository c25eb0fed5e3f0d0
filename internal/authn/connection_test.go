package authn

import (
	"testing"
	"time"

	"github.com/tegata-dev/tegata/internal/decision"
	"github.com/tegata-dev/tegata/internal/session"
)

// TestConnectionsGoOnWhileTheUserMay: what a request under the session would be told, a gateway is told.
func TestConnectionsGoOnWhileTheUserMay(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*stage)
		want   bool
	}{
		"nothing":   {func(*stage) {}, true},
		"suspended": {func(s *stage) { s.account(func(a *Account) { a.User.Suspended = true }) }, false},
		"slot reset": {func(s *stage) {
			s.account(func(a *Account) { a.User.Slots[decision.SlotPC] = decision.SlotState{} })
			s.now = s.now.Add(maxLag)
		}, false},
		"deleted":           {func(s *stage) { delete(s.accounts, "owner") }, false},
		"time over":         {func(s *stage) { s.now = s.now.Add(time.Hour) }, false},
		"relay not known":   {func(s *stage) { s.policy = nil }, true},
		"knowledge too old": {func(s *stage) { s.fresh = false }, true},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := sessionStage(t)
			live := s.admitted(t).Session
			tc.change(s)
			if got := s.ContinueSession(live); got != tc.want {
				t.Errorf("goes on: %t, want %t", got, tc.want)
			}
		})
	}
}

func TestGatewayStopsASession(t *testing.T) {
	s, _ := sessionStage(t)
	r := s.admitted(t)
	if !s.StopSession(r.Session) || s.StopSession(r.Session) {
		t.Error("a session is to be stopped once")
	}
	if s.ContinueSession(r.Session) {
		t.Error("a session that was stopped goes on")
	}
	s.wantSession(t, r.Token, decision.SessionEnded)
	id := session.NewID(s.now)
	elsewhere := r.Session.Session
	elsewhere.ID = id
	tag := s.TagSession(&session.Live{Session: elsewhere}, "vpn")
	for name, stopped := range map[string]bool{
		"of nobody":        s.StopSessionOf("nobody", id, "vpn", tag),
		"of another":       s.StopSessionOf("stranger", id, "vpn", tag),
		"other id":         s.StopSessionOf("owner", session.NewID(s.now), "vpn", tag),
		"another's client": s.StopSessionOf("owner", id, "vpn2", tag),
		"without a tag":    s.StopSessionOf("owner", id, "vpn", ""),
	} {
		if stopped {
			t.Errorf("%s: a session was stopped", name)
		}
	}
	if !s.StopSessionOf("OWNER", id, "vpn", tag) || s.StopSessionOf("owner", id, "vpn", tag) {
		t.Error("a session of another sidecar is to be stopped once")
	}
	if len(s.kept) != 2 || s.kept[1] != id {
		t.Errorf("made known: %q", s.kept)
	}
}

// TestStopReachesASessionThatIsRefused: a stop that comes while the user may not log in holds when they may again.
func TestStopReachesASessionThatIsRefused(t *testing.T) {
	s, _ := sessionStage(t)
	r := s.admitted(t)
	s.account(func(a *Account) { a.User.Suspended = true })
	s.wantSession(t, r.Token, decision.UserSuspended)
	if !s.StopSessionOf("owner", r.Session.ID, "vpn", s.TagSession(r.Session, "vpn")) {
		t.Fatal("the session was not stopped")
	}
	s.account(func(a *Account) { a.User.Suspended = false })
	s.wantSession(t, r.Token, decision.SessionEnded)
}
