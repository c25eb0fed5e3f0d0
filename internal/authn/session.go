package authn

import (
	"context"
	"net/netip"
	"time"

	"github.com/tegata-dev/tegata/internal/decision"
	"github.com/tegata-dev/tegata/internal/session"
)

// SessionAttempt is one request under a session, as a listener received it.
type SessionAttempt struct {
	// Listener is the listener's name, from a closed set: it labels metrics.
	Listener string
	// Arrival is when the request had arrived.
	Arrival time.Time
	// Token is as shown.
	Token string
	// Source is the person's address at present, not a proxy's; the zero value when it is not known.
	Source netip.Addr
}

// SessionResult is the answer to a SessionAttempt.
type SessionResult struct {
	decision.Outcome
	// User is the RelayUser's name, and SessionID the session's id. Empty unless allowed.
	User, SessionID string
	// ID is the correlation id of a denial, which the denied person is shown; empty when allowed.
	ID string
}

// Allowed says whether the request may pass.
func (r SessionResult) Allowed() bool { return r.Verdict == decision.Allow }

// CheckSession answers one request under a session, on what is known of the user at present. It computes no
// password hash and asks the API server nothing. A session that began a moment ago may bear a binding that
// this sidecar has not heard of yet: for that it waits, within the time that a denial takes anyway.
func (s *Service) CheckSession(ctx context.Context, a SessionAttempt) SessionResult {
	live, result := s.checkSession(a)
	if live != nil && result.Reason == decision.SessionEnded && s.mayBeAhead(live) {
		live, result = s.awaitBinding(ctx, a)
	}
	if result.Allowed() {
		s.sessions.Admit(live)
		if !live.Ended() {
			s.metrics.observeSession(a.Listener, result.Outcome)
			return result
		}
		result = refuse(decision.SessionEnded, live.Slot()) // while it was not counted
	}
	if live != nil {
		s.sessions.Review(live.UID, s.stillGood)
	}
	s.metrics.observeSession(a.Listener, result.Outcome)
	return s.denySession(a, live, result.Outcome)
}

// denySession logs a denial under the id that the person is shown.
func (s *Service) denySession(a SessionAttempt, live *session.Live, outcome decision.Outcome) SessionResult {
	id := NewCorrelationID(a.Arrival)
	fields := []any{
		"correlationID", id, "listener", a.Listener, "verdict", outcome.Verdict.String(), "reason", outcome.Reason.String(),
		"slot", outcome.Slot.String(), "source", a.Source.String(),
	}
	if live != nil {
		fields = append(fields, "session", live.ID, "userUID", live.UID)
		if state := s.directory.Subject(live.UID).State(); state != nil {
			fields = append(fields, "user", state.Account.Name)
		}
	}
	s.refused.Info(fields...)
	return SessionResult{Outcome: outcome, ID: id}
}

func (s *Service) checkSession(a SessionAttempt) (*session.Live, SessionResult) {
	policy := s.directory.Policy()
	if policy == nil || !s.liveness.Fresh() {
		return nil, refuse(decision.ServerUnavailable, decision.SlotNone)
	}
	live, err := s.sessions.Find(a.Token)
	if err != nil {
		return nil, refuse(decision.SessionInvalid, decision.SlotNone)
	}
	now := s.now()
	if m, ok := live.Memo.Load().(*memo); ok && m.holds(policy, a.Source, now) && !live.Ended() {
		return live, m.result()
	}
	subject := s.directory.Subject(live.UID)
	state := subject.State()
	outcome := judge(policy, live, state, a.Source, now)
	if outcome.Verdict != decision.Allow {
		return live, SessionResult{Outcome: outcome}
	}
	m := newMemo(policy, live, subject, state, a.Source, now, outcome)
	live.Memo.Store(m)
	return live, m.result()
}

func refuse(r decision.Reason, slot decision.Slot) SessionResult {
	return SessionResult{Outcome: decision.Outcome{Verdict: decision.Deny, Reason: r, Slot: slot}}
}

// judge decides a session as its login would be decided now. The state is nil when there is no such user.
func judge(policy *Policy, live *session.Live, state *State, source netip.Addr, now time.Time) decision.Outcome {
	slot := live.Slot()
	in := decision.Input{
		Now:          now,
		ReservedOnly: policy.ReservedOnly,
		MinimumKind:  policy.MinimumKind,
		Attempt: decision.Attempt{
			Program: live.Program, Viewer: live.Viewer, Source: source, MAC: live.MAC, Device: live.Device,
		},
	}
	if state != nil {
		in.User = &state.Account.User
		in.PasswordOK = state.Credential == live.Credential
	}
	outcome := decision.Decide(in)
	switch {
	case outcome.Verdict == decision.Deny:
	case !now.Before(live.Expire):
		outcome = decision.Outcome{Verdict: decision.Deny, Reason: decision.SessionExpired, Slot: slot}
	case live.Ended(), state.Account.EndedSessions.has(live),
		// A session registers no device: where its login would, its own registration is gone.
		outcome.Verdict == decision.Enroll, slot != decision.SlotNone && state.Account.BindingIDs[slot] != live.BindingID:
		outcome = decision.Outcome{Verdict: decision.Deny, Reason: decision.SessionEnded, Slot: slot}
	}
	return outcome
}

// memo is all that an admission was decided on. While none of it changes, the next one is decided alike: that
// reads a few words, where with many users each of the others is far away in memory.
type memo struct {
	policy  *Policy
	subject *Subject
	state   *State
	source  netip.Addr
	// decided and until bound the time: nothing that depends on it changes between them.
	decided, until time.Time
	outcome        decision.Outcome
	// told is the user's name and then the session's id: side by side, they are read at once.
	told       string
	userLength int
}

func newMemo(policy *Policy, live *session.Live, subject *Subject, state *State, source netip.Addr, now time.Time, outcome decision.Outcome) *memo {
	until := live.Expire
	if end := state.Account.User.ValidUntil; !end.IsZero() && end.Before(until) {
		until = end
	}
	return &memo{
		policy: policy, subject: subject, state: state, source: source, decided: now, until: until, outcome: outcome,
		told: state.Account.Name + live.ID, userLength: len(state.Account.Name),
	}
}

// result is the answer while the memo holds.
func (m *memo) result() SessionResult {
	return SessionResult{Outcome: m.outcome, User: m.told[:m.userLength], SessionID: m.told[m.userLength:]}
}

// holds says whether everything is as it was. Policies and states do not change, but are replaced.
func (m *memo) holds(policy *Policy, source netip.Addr, now time.Time) bool {
	return m.policy == policy && m.subject.State() == m.state && m.source == source &&
		!now.Before(m.decided) && now.Before(m.until)
}

const (
	// maxLag is how old a session may be for its binding not to have arrived at every sidecar.
	maxLag = 10 * time.Second
	// lagStep is how often it is looked whether it has.
	lagStep = 10 * time.Millisecond
)

// mayBeAhead says whether a session may be newer than what is known of its user. One that is known to have ended
// is not: nobody is to have requests wait by the token of a session that they ended at another sidecar.
func (s *Service) mayBeAhead(live *session.Live) bool {
	if live.Ended() || live.Slot() == decision.SlotNone || s.now().Sub(live.Begin) >= maxLag {
		return false
	}
	state := s.directory.Subject(live.UID).State()
	return state == nil || !state.Account.EndedSessions.has(live)
}

// awaitBinding checks again and again until the session is admitted, or most of a denial's time is over.
func (s *Service) awaitBinding(ctx context.Context, a SessionAttempt) (*session.Live, SessionResult) {
	ctx, cancel := context.WithDeadline(ctx, a.Arrival.Add(s.Denial().ResponseTime*3/4))
	defer cancel()
	step := time.NewTicker(lagStep)
	defer step.Stop()
	for {
		live, result := s.checkSession(a)
		if result.Reason != decision.SessionEnded || ctx.Err() != nil {
			return live, result
		}
		select {
		case <-step.C:
		case <-ctx.Done():
		}
	}
}

// EndSession logs the holder of a session's token out, and says whether it is the token of the session of that
// id; of whichever session, without an id. One that is over already stays so.
func (s *Service) EndSession(token, id string) bool {
	live, err := s.sessions.Find(token)
	if err != nil || (id != "" && live.ID != id) {
		return false
	}
	// One that was not seen in use here, or is refused at present, is to be ended everywhere all the same.
	if !s.sessions.End(live, session.Logout) && s.now().Before(live.Expire) {
		s.sessions.EndID(live.UID, live.ID, session.Logout)
	}
	return true
}

// ReviewUser ends the sessions of a user that are not good any more. It is to be called when the user changes.
func (s *Service) ReviewUser(uid string) { s.sessions.Review(uid, s.stillGood) }

// reviewInterval is how often all sessions are looked at: for their time, and for what changed of the relay.
const reviewInterval = 10 * time.Second

// RunSessions ends sessions when their time is over, until ctx ends.
func (s *Service) RunSessions(ctx context.Context) {
	ticker := time.NewTicker(reviewInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			s.sessions.Sweep(s.stillGood)
		case <-ctx.Done():
			return
		}
	}
}

// stillGood says whether a session would be admitted from where it began. It errs towards yes: while nothing
// is known of the relay, or the binding may be on its way, nothing is ended, only refused.
func (s *Service) stillGood(live *session.Live) bool {
	policy := s.directory.Policy()
	if policy == nil || !s.liveness.Fresh() {
		return true
	}
	source, _ := netip.ParseAddr(live.Details.Source)
	outcome := judge(policy, live, s.directory.Subject(live.UID).State(), source, s.now())
	switch outcome.Reason {
	case decision.SourceAddressDenied:
		return true // of requests, not of the session
	case decision.SessionEnded:
		return s.mayBeAhead(live)
	}
	return outcome.Verdict == decision.Allow
}

// beginSession starts the session of an admitted login.
func (s *Service) beginSession(l *login) error {
	now := s.now()
	expire := l.expireTime(now)
	device := decision.Device{Kind: l.device.Kind}
	switch {
	case l.bound != "": // the newest key's digest would not be known as that of the slot
		device.Digests = []decision.Digest{l.bound}
	case len(l.device.Digests) > 0:
		device.Digests = l.device.Digests[:1]
	}
	live, token, err := s.sessions.Begin(session.Session{
		ID: session.NewID(now), UID: l.account.UID, Program: l.attempt.Program, Viewer: l.attempt.Viewer, MAC: l.attempt.MAC,
		Device: device, BindingID: l.bindingID, Credential: l.hash.Mark(), Begin: now, Expire: expire,
	}, session.Details{
		User: l.account.Name, Listener: l.attempt.Listener, Source: l.attempt.Source.String(), Destination: l.attempt.Destination,
	})
	if err != nil {
		return err
	}
	l.result.Session, l.result.Token, l.result.ExpireTime = live, token, expire
	return nil
}
