package authn

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tegata-dev/tegata/internal/decision"
	"github.com/tegata-dev/tegata/internal/fingerprint"
	"github.com/tegata-dev/tegata/internal/password"
	"github.com/tegata-dev/tegata/internal/session"
)

const ownBinding = "binding-of-the-owner"

// sessionStage has the owner logged in from the device that is bound.
func sessionStage(t *testing.T) (s *stage, token string) {
	t.Helper()
	s = newStage(t)
	s.accounts["owner"].BindingIDs[decision.SlotPC] = ownBinding
	return s, s.admitted(t).Token
}

func (s *stage) admitted(t *testing.T) Result {
	t.Helper()
	r := s.login(t, "owner", right, ownDevice, home)
	if !r.Allowed() || r.Token == "" || r.Session == nil {
		t.Fatalf("login: %+v", r)
	}
	return r
}

func (s *stage) request(t *testing.T, token string) SessionResult {
	t.Helper()
	s.mu.Lock()
	s.follow()
	s.mu.Unlock()
	return s.CheckSession(t.Context(), SessionAttempt{
		Listener: "test", Arrival: time.Now(), Token: token, Source: netip.MustParseAddr(home),
	})
}

func (s *stage) wantSession(t *testing.T, token string, want decision.Reason) {
	t.Helper()
	got := s.request(t, token)
	if got.Reason != want || got.Allowed() != (want == decision.ReasonNone) {
		t.Errorf("session: %v %q, want %q", got.Verdict, got.Reason, want)
	}
	if got.Allowed() != (got.ID == "") || got.Allowed() != (got.User != "") || got.Allowed() != (got.SessionID != "") {
		t.Errorf("an answer of %q tells %+v", want, got)
	}
}

// account replaces what is known of the owner: accounts are shared and do not change.
func (s *stage) account(change func(*Account)) {
	a := *s.accounts["owner"]
	change(&a)
	s.accounts["owner"] = &a
}

// TestSessionsFollowTheUser changes one thing after a login, and has it undone where it can be.
func TestSessionsFollowTheUser(t *testing.T) {
	account := func(change func(*Account)) func(*stage) {
		return func(s *stage) { s.account(change) }
	}
	user := func(change func(*decision.User)) func(*stage) { return account(func(a *Account) { change(&a.User) }) }
	slot := func(state decision.SlotState, bindingID string) func(*stage) {
		return account(func(a *Account) {
			a.User.Slots[decision.SlotPC] = state
			a.BindingIDs[decision.SlotPC] = bindingID
		})
	}
	own := digest(t, ownDevice)
	for name, tc := range map[string]struct {
		change func(*stage)
		want   decision.Reason
	}{
		"nothing":            {func(*stage) {}, decision.ReasonNone},
		"user deleted":       {func(s *stage) { delete(s.accounts, "owner") }, decision.UnknownUser},
		"user made anew":     {account(func(a *Account) { a.UID = "uid-another" }), decision.UnknownUser},
		"password rotated":   {func(s *stage) { s.hash = otherHash(t) }, decision.PasswordMismatch},
		"password withdrawn": {func(s *stage) { s.hash = password.Hash{} }, decision.PasswordMismatch},
		"suspended":          {user(func(u *decision.User) { u.Suspended = true }), decision.UserSuspended},
		"expired":            {func(s *stage) { s.account(func(a *Account) { a.User.ValidUntil = s.now }) }, decision.OutsideValidity},
		"administrator":      {user(func(u *decision.User) { u.Administrator = true }), decision.AdministratorNotPermitted},
		"network withdrawn": {user(func(u *decision.User) {
			u.ViewerNetwork.CIDRs = []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}
		}), decision.SourceAddressDenied},
		"MAC addresses limited": {user(func(u *decision.User) { u.ViewerNetwork.MACs = []decision.MAC{{1}} }), decision.MACAddressDenied},
		"kind withdrawn":        {user(func(u *decision.User) { u.MinimumKind = decision.KindProof }), decision.DeviceKindNotPermitted},
		"kind withdrawn by the relay": {func(s *stage) {
			policy := *s.policy
			policy.MinimumKind = decision.KindCertificate
			s.policy = &policy
		}, decision.DeviceKindNotPermitted},
		"slot reset, device denied":     {slot(decision.SlotState{Revoked: []decision.Digest{own}}, ""), decision.DeviceRevoked},
		"slot reset":                    {slot(decision.SlotState{}, ""), decision.SessionEnded},
		"slot reset and reserved":       {slot(decision.SlotState{State: decision.Reserved, Digest: digest(t, otherDevice)}, ""), decision.DeviceNotRegistered},
		"another device bound":          {slot(decision.SlotState{State: decision.Registered, Digest: digest(t, otherDevice)}, "b2"), decision.DeviceMismatch},
		"bound again after a reset":     {slot(decision.SlotState{State: decision.Registered, Digest: own}, "b2"), decision.SessionEnded},
		"all ended by an administrator": {func(s *stage) { s.account(func(a *Account) { a.EndedSessions = &EndedSessions{Before: s.now.Add(1)} }) }, decision.SessionEnded},
		"earlier ones ended":            {func(s *stage) { s.account(func(a *Account) { a.EndedSessions = &EndedSessions{Before: s.now} }) }, decision.ReasonNone},
		"its time over":                 {func(s *stage) { s.now = s.now.Add(s.policy.SessionTTL) }, decision.SessionExpired},
		"just before":                   {func(s *stage) { s.now = s.now.Add(s.policy.SessionTTL - 1) }, decision.ReasonNone},
		"relay gone":                    {func(s *stage) { s.policy = nil }, decision.ServerUnavailable},
		"Lease run out":                 {func(s *stage) { s.fresh = false }, decision.ServerUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, token := sessionStage(t)
				s.wantSession(t, token, decision.ReasonNone)
				verified := s.verified
				tc.change(s)
				s.wantSession(t, token, tc.want)
				if s.verified != verified {
					t.Error("a password was hashed")
				}
				if tc.want != decision.ReasonNone && strings.Contains(s.logged.String(), token) {
					t.Error("the log holds the token")
				}
			})
		})
	}
}

func otherHash(t *testing.T) password.Hash {
	t.Helper()
	h, err := password.Parse("$6$tegatasample$" + strings.Repeat("b", 85) + ".")
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestProgramWithdrawn(t *testing.T) {
	s := newStage(t)
	r := s.Check(t.Context(), &Attempt{
		Listener: "test", ID: NewCorrelationID(s.now), Arrival: s.now, UserName: "owner", Password: []byte(right),
		Program: decision.ProgramClient, Source: netip.MustParseAddr(home),
	})
	s.wantSession(t, r.Token, decision.ReasonNone)
	s.account(func(a *Account) { a.User.ClientPermitted = false })
	s.wantSession(t, r.Token, decision.ProgramNotPermitted)
}

// TestSourceAtPresentCounts: not the one that the person logged in from.
func TestSourceAtPresentCounts(t *testing.T) {
	s, token := sessionStage(t)
	s.account(func(a *Account) {
		a.User.ViewerNetwork.CIDRs = []netip.Prefix{netip.MustParsePrefix(home + "/32")}
	})
	s.wantSession(t, token, decision.ReasonNone)
	for name, source := range map[string]netip.Addr{"elsewhere": netip.MustParseAddr(away), "not known": {}} {
		got := s.CheckSession(t.Context(), SessionAttempt{Listener: "test", Arrival: time.Now(), Token: token, Source: source})
		if got.Reason != decision.SourceAddressDenied {
			t.Errorf("%s: %q", name, got.Reason)
		}
	}
	// And the session goes on where it may.
	s.wantSession(t, token, decision.ReasonNone)
}

func TestSuspensionEndsNothingForGood(t *testing.T) {
	s, token := sessionStage(t)
	s.account(func(a *Account) { a.User.Suspended = true })
	s.ReviewUser("uid-owner")
	s.wantSession(t, token, decision.UserSuspended)
	s.account(func(a *Account) { a.User.Suspended = false })
	s.wantSession(t, token, decision.ReasonNone)
	if len(s.kept) > 0 {
		t.Errorf("written: %v", s.kept)
	}
}

func TestLogout(t *testing.T) {
	s, token := sessionStage(t)
	other := s.admitted(t)
	id := s.request(t, token).SessionID
	if s.EndSession(token, other.Session.ID) || s.EndSession("x"+token, id) || s.EndSession("", id) {
		t.Error("a session was ended by something that is not its token")
	}
	s.wantSession(t, token, decision.ReasonNone)
	if s.EndSession("x"+token, "") || s.EndSession("", "") {
		t.Error("what is no token ended a session")
	}
	if !s.EndSession(token, id) || !s.EndSession(token, "") {
		t.Error("logging out, and once more, is refused")
	}
	s.wantSession(t, token, decision.SessionEnded)
	if log := s.logged.String(); !strings.Contains(log, `"reason"="SessionEnded"`) || !strings.Contains(log, `"session"="`+id+`" "userUID"="uid-owner" "user"="owner"`) {
		t.Errorf("the log does not say whose session was refused:\n%s", log)
	}
	s.wantSession(t, other.Token, decision.ReasonNone)
	if diff := cmp.Diff([]string{id}, s.kept); diff != "" {
		t.Errorf("made known (-want +got):\n%s", diff)
	}
}

// TestLogoutWhileRefused: it counts although the session is refused at present, and is told of once.
func TestLogoutWhileRefused(t *testing.T) {
	s, token := sessionStage(t)
	id := s.request(t, token).SessionID
	s.account(func(a *Account) { a.User.Suspended = true })
	s.wantSession(t, token, decision.UserSuspended)
	for range 2 {
		if !s.EndSession(token, id) {
			t.Error("logging out, or once more, is refused")
		}
	}
	s.account(func(a *Account) { a.User.Suspended = false })
	s.wantSession(t, token, decision.SessionEnded)
	if diff := cmp.Diff([]string{id}, s.kept); diff != "" {
		t.Errorf("made known (-want +got):\n%s", diff)
	}
}

// TestLogoutElsewhere: what another sidecar has stored in the user's status ends the session here.
func TestLogoutElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, token := sessionStage(t)
		id := s.request(t, token).SessionID
		s.account(func(a *Account) {
			a.EndedSessions = &EndedSessions{}
			a.EndedSessions.Add(s.now, 32, id)
		})
		s.wantSession(t, token, decision.SessionEnded)
	})
}

func TestTooManySessionsEndTheOldest(t *testing.T) {
	s, first := sessionStage(t)
	for range s.policy.SessionsPerUser {
		s.wantSession(t, first, decision.ReasonNone)
		s.now = s.now.Add(time.Second)
		s.admitted(t)
	}
	s.wantSession(t, first, decision.SessionEnded)
}

// TestSessionsOfOtherServersAndNone are refused alike.
func TestTokensOfNobody(t *testing.T) {
	s, token := sessionStage(t)
	for _, bad := range []string{"", "x", token + "x", strings.ToLower(token)} {
		s.wantSession(t, bad, decision.SessionInvalid)
	}
}

// TestABindingOnItsWay: a session that began a moment ago is not refused because this sidecar has not heard
// of its binding, if it hears of it in time.
func TestABindingOnItsWay(t *testing.T) {
	for name, tc := range map[string]struct {
		arrives time.Duration
		age     time.Duration
		want    decision.Reason
		after   time.Duration
	}{
		"in time":              {95 * time.Millisecond, 0, decision.ReasonNone, 100 * time.Millisecond},
		"too late":             {time.Minute, 0, decision.SessionEnded, 750 * time.Millisecond},
		"for an older session": {100 * time.Millisecond, maxLag, decision.SessionEnded, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, token := sessionStage(t)
				known := s.accounts["owner"]
				s.account(func(a *Account) {
					a.User.Slots[decision.SlotPC] = decision.SlotState{}
					a.BindingIDs[decision.SlotPC] = ""
				})
				s.now = s.now.Add(tc.age)
				done := make(chan struct{})
				time.AfterFunc(tc.arrives, func() {
					s.mu.Lock()
					defer s.mu.Unlock()
					s.accounts["owner"] = known
					s.follow()
					close(done)
				})
				start := time.Now()
				s.wantSession(t, token, tc.want)
				if took := time.Since(start); took.Round(10*time.Millisecond) != tc.after {
					t.Errorf("answered after %s, want %s", took, tc.after)
				}
				<-done
			})
		})
	}
}

// TestSessionsUnderAnOlderKey: when the keys are replaced, devices stay bound by digests under the older one. Whoever logs
// in from one of them has a session that lives, as whoever registers now has.
func TestSessionsUnderAnOlderKey(t *testing.T) {
	for name, tc := range map[string]struct {
		bound  int // the key under which the device is bound, none when it is negative
		stored int // the key under which another sidecar has bound it a moment ago
	}{
		"bound under the current key":       {bound: 0},
		"bound under an older key":          {bound: 1},
		"registers now":                     {bound: -1},
		"was registered by another sidecar": {bound: -1, stored: 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			s.keys = replacedKeys(t)
			f, err := fingerprint.ParseOpaque(ownDevice)
			if err != nil {
				t.Fatal(err)
			}
			digests := s.keys.Device(f).Digests
			slot := func(key int) decision.SlotState {
				if key < 0 {
					return decision.SlotState{}
				}
				return decision.SlotState{State: decision.Registered, Digest: digests[key]}
			}
			s.account(func(a *Account) {
				a.User.Slots[decision.SlotPC] = slot(tc.bound)
				a.BindingIDs[decision.SlotPC] = "binding-1"
			})
			s.enroll = func(e Enrollment) (decision.Outcome, error) {
				u := e.Account.User
				if tc.stored != 0 {
					u.Slots[decision.SlotPC] = slot(tc.stored)
				}
				outcome := e.Decide(&u)
				s.account(func(a *Account) { a.User.Slots[decision.SlotPC] = slot(tc.stored) })
				return outcome, nil
			}
			s.wantSession(t, s.admitted(t).Token, decision.ReasonNone)
		})
	}
}

// replacedKeys are those of a relay whose first key is not the current one any more.
func replacedKeys(t *testing.T) *fingerprint.Keyring {
	t.Helper()
	data := fingerprint.NewSecretData()
	data["fingerprint.anewone"] = bytes.Repeat([]byte{1}, 32)
	data["fingerprint-current"] = []byte("anewone")
	ring, err := fingerprint.ParseKeyring(data)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

// TestNoSessionWithoutKeys: a login that could not be followed by anything is denied.
func TestNoSessionWithoutKeys(t *testing.T) {
	s := newStage(t)
	s.noSessionKeys = true
	wantReason(t, s.login(t, "owner", right, ownDevice, home), decision.ServerUnavailable)
}

// TestACheckAllocatesLittle: at most once, and nothing that grows with the number of sessions.
func TestACheckAllocatesLittle(t *testing.T) {
	s, token := sessionStage(t)
	attempt := SessionAttempt{Listener: "test", Arrival: time.Now(), Token: token, Source: netip.MustParseAddr(home)}
	got := testing.AllocsPerRun(100, func() {
		if r := s.CheckSession(t.Context(), attempt); !r.Allowed() {
			t.Fatal(r.Reason)
		}
	})
	if got > 1 {
		t.Errorf("%v allocations, want at most 1", got)
	}
}

// TestEndsAreNotWaitedOut: a session that began a moment ago may be waited for, but not once it was ended, at
// whichever sidecar: its connection has to end, and its token must not hold places of others.
func TestEndsAreNotWaitedOut(t *testing.T) {
	for name, end := range map[string]func(*EndedSessions, *session.Live){
		"logout":       func(e *EndedSessions, l *session.Live) { e.IDs = []string{l.ID} },
		"many logouts": func(e *EndedSessions, l *session.Live) { e.UpTo = l.ID },
		"all sessions": func(e *EndedSessions, l *session.Live) { e.Before = l.Begin.Add(time.Second) },
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := sessionStage(t)
			r := s.admitted(t)
			var ended EndedSessions
			end(&ended, r.Session)
			s.account(func(a *Account) { a.EndedSessions = &ended })
			s.follow()
			if s.mayBeAhead(r.Session) || s.stillGood(r.Session) {
				t.Errorf("may be ahead: %t, still good: %t; want neither", s.mayBeAhead(r.Session), s.stillGood(r.Session))
			}
			s.wantSession(t, r.Token, decision.SessionEnded)
		})
	}
}
