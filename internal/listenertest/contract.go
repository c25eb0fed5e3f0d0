// Package listenertest is the contract of all listeners, as a table that each of them runs in its tests: every
// reason is denied alike, an admission tells the same, and nothing but the service decides.
//
// It knows no protocol: a listener plugs in by a few functions that ask it and say what came back. It is for
// tests only.
package listenertest

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tegata-dev/tegata/internal/authn"
	"github.com/tegata-dev/tegata/internal/decision"
)

// Fact is something that an admission tells.
type Fact string

// The facts that there are. A time is in UTC, as RFC 3339 has it.
const (
	FactUser    Fact = "user"
	FactSlot    Fact = "slot"
	FactSession Fact = "session"
	FactToken   Fact = "token"
	FactExpire  Fact = "expireTime"
)

// Reply is what came back.
type Reply struct {
	Admitted bool
	// Bytes are all that the peer received, but for what differs from reply to reply whatever is decided: the
	// time of day, say, or a packet's authenticator.
	Bytes string
	// Tells is what an admission tells; a fact that is empty may be left out.
	Tells map[Fact]string
}

// Listener is one that asks a service.
type Listener struct {
	// Login sends one well-formed login, and returns when its reply has left.
	Login func(t testing.TB) Reply
	// Check does so with a request under a session; nil at a listener that takes none.
	Check func(t testing.TB, token string) Reply
}

// Contract is what one listener promises.
type Contract struct {
	// Name is its name in metrics.
	Name string
	// New makes one. It is called within a bubble of testing/synctest, so that times are exact: what it asks
	// must not go over a network, other than net.Pipe's, and all its goroutines must end with the test.
	New func(t testing.TB, s *Service) Listener
	// LoginTells and CheckTells are what an admission tells.
	LoginTells, CheckTells []Fact
}

// Run tests a listener.
func (c Contract) Run(t *testing.T) {
	t.Run("denials look alike", c.denialsLookAlike)
	t.Run("denials leave at their time", c.denialsLeaveAtTheirTime)
	t.Run("admissions are told at once", c.admissionsAreTold)
	t.Run("the service alone decides", c.serviceDecides)
	t.Run("each request is one attempt", c.oneAttemptEach)
}

// way is one of the ways in which a listener is asked.
type way struct {
	name  string
	tells []Fact
	ask   func(testing.TB, Listener) Reply
}

func (c Contract) ways(l Listener) []way {
	all := []way{{"login", c.LoginTells, func(t testing.TB, l Listener) Reply { return l.Login(t) }}}
	if l.Check != nil {
		all = append(all, way{"session", c.CheckTells, func(t testing.TB, l Listener) Reply { return l.Check(t, Token) }})
	}
	return all
}

// eachWay runs a test in a bubble for each way in.
func (c Contract) eachWay(t *testing.T, s *Service, test func(*testing.T, way, Listener)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := c.New(t, s)
		for _, w := range c.ways(l) {
			test(t, w, l)
		}
	})
}

// denials are the services that deny, by name: all reasons, each with as much beside it as could ever leak.
func denials() map[string]*Service {
	all := map[string]*Service{"nothing decided": {}}
	for _, reason := range append(decision.Reasons(), decision.ReasonNone) {
		for _, slot := range []decision.Slot{decision.SlotPC, decision.SlotMobile, decision.SlotNone} {
			outcome := decision.Outcome{Verdict: decision.Deny, Reason: reason, Slot: slot}
			name := fmt.Sprintf("%s in slot %q", reason, slot)
			all[name] = &Service{Outcome: outcome}
			all[name+", with leftovers"] = &Service{Outcome: outcome, Leftovers: true}
		}
	}
	return all
}

// denialsLookAlike compares them over all ways in, too.
func (c Contract) denialsLookAlike(t *testing.T) {
	seen := map[string]string{}
	for name, s := range denials() {
		c.eachWay(t, s, func(t *testing.T, w way, l Listener) {
			got := w.ask(t, l)
			if got.Admitted || len(got.Tells) > 0 {
				t.Errorf("%s, %s: admitted: %v, told %v", w.name, name, got.Admitted, got.Tells)
			}
			id := s.lastID()
			if id == "" || !strings.Contains(got.Bytes, id) {
				t.Errorf("%s, %s: the denied person is not shown the correlation id %q: %q", w.name, name, id, got.Bytes)
				return
			}
			seen[strings.ReplaceAll(got.Bytes, id, strings.Repeat("~", len(id)))] = w.name + ", " + name
		})
	}
	if len(seen) != 1 {
		t.Errorf("%d different denials, want 1:\n%s", len(seen), cmp.Diff(map[string]string{}, seen))
	}
}

func (c Contract) denialsLeaveAtTheirTime(t *testing.T) {
	const ms = time.Millisecond
	for takes, want := range map[time.Duration]time.Duration{
		0: ResponseTime, 40 * ms: ResponseTime, ResponseTime - 1: ResponseTime,
		ResponseTime: 2 * ResponseTime, 5*ResponseTime + ms: 6 * ResponseTime,
	} {
		for name, s := range denials() {
			s.Takes = takes
			c.eachWay(t, s, func(t *testing.T, w way, l Listener) {
				start := time.Now()
				w.ask(t, l)
				if got := time.Since(start); got != want {
					t.Errorf("%s, %s, decided after %s: left after %s, want %s", w.name, name, takes, got, want)
				}
			})
		}
	}
}

func (c Contract) admissionsAreTold(t *testing.T) {
	for _, verdict := range []decision.Verdict{decision.Allow, decision.Enroll} {
		for _, slot := range []decision.Slot{decision.SlotPC, decision.SlotMobile, decision.SlotNone} {
			s := &Service{Outcome: decision.Outcome{Verdict: verdict, Slot: slot}, Takes: 3 * time.Millisecond}
			c.eachWay(t, s, func(t *testing.T, w way, l Listener) {
				if w.name == "session" && verdict == decision.Enroll {
					return // a session registers nothing
				}
				start := time.Now()
				got := w.ask(t, l)
				if took := time.Since(start); took != s.Takes {
					t.Errorf("%s, %s: answered after %s, want %s", w.name, verdict, took, s.Takes)
				}
				assertTold(t, w, slot, got)
			})
		}
	}
}

func assertTold(t *testing.T, w way, slot decision.Slot, got Reply) {
	t.Helper()
	if !got.Admitted {
		t.Errorf("%s, slot %q: not admitted: %q", w.name, slot, got.Bytes)
		return
	}
	all := map[Fact]string{
		FactUser: User, FactSlot: slot.String(), FactSession: SessionID, FactToken: Token,
		FactExpire: ExpireTime.UTC().Format(time.RFC3339),
	}
	want := map[Fact]string{}
	for _, f := range w.tells {
		if all[f] != "" {
			want[f] = all[f]
		}
	}
	told := maps.Clone(got.Tells)
	maps.DeleteFunc(told, func(_ Fact, value string) bool { return value == "" })
	if diff := cmp.Diff(want, told); diff != "" {
		t.Errorf("%s, slot %q: told (-want +got):\n%s", w.name, slot, diff)
	}
}

// serviceDecides changes everything that a listener can see but the decision.
func (c Contract) serviceDecides(t *testing.T) {
	ended := authn.Limit{Failures: 1, Interval: time.Hour}
	for name, relay := range map[string]*authn.Policy{
		"no relay":         nil,
		"an empty policy":  {},
		"a strict one":     {ReservedOnly: true, MinimumKind: decision.KindProof, PerUser: ended, PerSource: ended, MaxStaleness: 1},
		"no sessions":      {SessionTTL: -time.Hour, SessionsPerUser: -1},
		"a generous one":   {SessionTTL: time.Hour, SessionsPerUser: 1000},
		"no trust at all":  {TrustedProxies: nil},
		"no failures kept": {FailureHistoryLimit: 0},
	} {
		for _, verdict := range []decision.Verdict{decision.Allow, decision.Deny} {
			s := &Service{Outcome: decision.Outcome{Verdict: verdict, Slot: decision.SlotPC}, Relay: relay}
			c.eachWay(t, s, func(t *testing.T, w way, l Listener) {
				if got := w.ask(t, l); got.Admitted != (verdict == decision.Allow) {
					t.Errorf("%s, %s: admitted: %v, but the service says %s", w.name, name, got.Admitted, verdict)
				}
			})
		}
	}
}

func (c Contract) oneAttemptEach(t *testing.T) {
	for _, s := range []*Service{Admitting(), Denying(decision.PasswordMismatch)} {
		c.eachWay(t, s, func(t *testing.T, w way, l Listener) {
			start := time.Now()
			logins, sessions := len(s.Logins()), len(s.Sessions())
			w.ask(t, l)
			logins, sessions = len(s.Logins())-logins, len(s.Sessions())-sessions
			if w.name == "login" {
				if logins != 1 || sessions != 0 {
					t.Fatalf("a login was %d logins and %d sessions", logins, sessions)
				}
				c.assertLogin(t, s.Logins()[len(s.Logins())-1], start)
				return
			}
			if logins != 0 || sessions != 1 {
				t.Fatalf("a request under a session was %d logins and %d sessions", logins, sessions)
			}
			last := s.Sessions()[len(s.Sessions())-1]
			if last.Listener != c.Name || last.Token != Token || !last.Arrival.Equal(start) {
				t.Errorf("asked with %+v, want listener %s, the token, and arrival %s", last, c.Name, start)
			}
		})
	}
}

func (c Contract) assertLogin(t *testing.T, a *authn.Attempt, start time.Time) {
	t.Helper()
	if a.Listener != c.Name || len(a.ID) != 26 || a.ID[:10] != authn.NewCorrelationID(start)[:10] || !a.Arrival.Equal(start) {
		t.Errorf("asked with listener %q, id %q and arrival %s, want %q, one of that time, and %s", a.Listener, a.ID, a.Arrival, c.Name, start)
	}
	if a.UserName == "" || len(a.Password) == 0 || a.Program == decision.ProgramUnknown {
		t.Error("asked without user, password or program: a well-formed login has them")
	}
}
