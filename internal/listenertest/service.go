package listenertest

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/tegata-dev/tegata/internal/authn"
	"github.com/tegata-dev/tegata/internal/decision"
	"github.com/tegata-dev/tegata/internal/session"
)

// What the service admits is always this user, under this session.
const (
	User      = "hanako"
	UID       = "0f8e2a54-7c1d-4f6e-9b35-1d2c3b4a5968"
	SessionID = "01K9ZZZZZZ0000000000000000"
	Token     = "good.session-token_1"
)

// ExpireTime is the end of that session.
var ExpireTime = time.Date(2026, 11, 15, 19, 17, 0, 987654321, time.FixedZone("JST", 9*60*60))

// ResponseTime is how long after its arrival a denial is to leave.
const ResponseTime = 200 * time.Millisecond

// Service stands in for *authn.Service. It answers each attempt by its script, and remembers it.
type Service struct {
	// Outcome answers logins and sessions alike.
	Outcome decision.Outcome
	// Takes is how long that takes.
	Takes time.Duration
	// Leftovers fills in what only an admission has, whatever the outcome.
	Leftovers bool
	// Relay is the policy; nil is that of a relay that is not known.
	Relay *authn.Policy
	// Decide, when not nil, gives the verdict on a session's token in place of Outcome's.
	Decide func(token string) decision.Verdict
	// Before, when not nil, is called with each attempt before it is answered.
	Before func(ctx context.Context)

	mu       sync.Mutex
	logins   []*authn.Attempt
	sessions []authn.SessionAttempt
	ended    []string
	ids      []string
}

// Admitting is a Service that admits everybody, in the slot pc.
func Admitting() *Service {
	return &Service{Outcome: decision.Outcome{Verdict: decision.Allow, Slot: decision.SlotPC}}
}

// Denying is a Service that denies everybody.
func Denying(r decision.Reason) *Service {
	return &Service{Outcome: decision.Outcome{Verdict: decision.Deny, Reason: r, Slot: decision.SlotPC}}
}

// Check answers a login.
func (s *Service) Check(ctx context.Context, a *authn.Attempt) authn.Result {
	s.mu.Lock()
	s.logins = append(s.logins, a)
	s.ids = append(s.ids, a.ID)
	s.mu.Unlock()
	s.wait(ctx)
	result := authn.Result{Outcome: s.Outcome, Enrolled: s.Outcome.Verdict == decision.Enroll}
	if result.Allowed() || s.Leftovers {
		result.Session, result.Token, result.ExpireTime = live(), Token, ExpireTime
		result.PasswordSaving = authn.PasswordSaving{Login: true}
	}
	if s.Leftovers {
		result.Enrolled = true
	}
	return result
}

// CheckSession answers a request under a session, whatever its token.
func (s *Service) CheckSession(ctx context.Context, a authn.SessionAttempt) authn.SessionResult {
	result := authn.SessionResult{Outcome: s.Outcome}
	if s.Decide != nil {
		result.Verdict = s.Decide(a.Token)
	}
	if !result.Allowed() {
		result.ID = authn.NewCorrelationID(a.Arrival)
	}
	s.mu.Lock()
	s.sessions = append(s.sessions, a)
	s.ids = append(s.ids, result.ID)
	s.mu.Unlock()
	s.wait(ctx)
	if result.Allowed() || s.Leftovers {
		result.User, result.SessionID = User, SessionID
	}
	return result
}

func (s *Service) wait(ctx context.Context) {
	if s.Before != nil {
		s.Before(ctx)
	}
	if s.Takes > 0 {
		<-time.After(s.Takes)
	}
}

func live() *session.Live {
	return &session.Live{
		Session: session.Session{ID: SessionID, UID: UID, Expire: ExpireTime},
		Details: session.Details{User: User},
	}
}

// EndSession knows the one session; without an id the token's.
func (s *Service) EndSession(token, id string) bool {
	if token != Token || (id != "" && id != SessionID) {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = append(s.ended, SessionID)
	return true
}

// Denial is the shape of denials.
func (s *Service) Denial() authn.Denial {
	if s.Relay != nil && s.Relay.Denial.Code != 0 {
		return s.Relay.Denial
	}
	return authn.Denial{Code: 293, ResponseTime: ResponseTime}
}

// Policy is Relay.
func (s *Service) Policy() *authn.Policy { return s.Relay }

// Trusting makes proxies of these networks trusted.
func (s *Service) Trusting(networks ...string) *Service {
	relay := &authn.Policy{}
	for _, n := range networks {
		relay.TrustedProxies = append(relay.TrustedProxies, netip.MustParsePrefix(n))
	}
	s.Relay = relay
	return s
}

// Logins are the logins so far.
func (s *Service) Logins() []*authn.Attempt {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.logins)
}

// Sessions are the requests under sessions so far.
func (s *Service) Sessions() []authn.SessionAttempt {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.sessions)
}

// Ended are the ids of the sessions that were ended, in order.
func (s *Service) Ended() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.ended)
}

// lastID is the correlation id of the last attempt, empty when it was admitted under a session.
func (s *Service) lastID() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.ids) == 0 {
		return ""
	}
	return s.ids[len(s.ids)-1]
}
