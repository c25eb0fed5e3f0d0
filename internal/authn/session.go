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
	// Account and Session are nil unless allowed.
	Account *Account
	Session *session.Live
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
		s.metrics.observeSession(a.Listener, result.Outcome)
		return result
	}
	if live != nil {
		s.sessions.Review(live.UID, s.stillGood)
	}
	s.metrics.observeSession(a.Listener, result.Outcome)
	return s.denySession(a, live, result.Outcome)
}

// denySession logs a denial under the id that the person is shown.
func (s *Service) denySession(a SessionAttempt, live *session.Live, outcome decision.Outcome) SessionResult {
	id := NewCorrelationID()
	fields := []any{
		"correlationID", id, "listener", a.Listener, "verdict", outcome.Verdict.String(), "reason", outcome.Reason.String(),
		"slot", outcome.Slot.String(), "source", a.Source.String(),
	}
	if live != nil {
		fields = append(fields, "session", live.ID, "userUID", live.UID)
	}
	s.log.Info("Session refused", fields...)
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
	account, outcome := s.judge(policy, live, a.Source)
	return live, SessionResult{Outcome: outcome, Account: account, Session: live}
}

func refuse(r decision.Reason, slot decision.Slot) SessionResult {
	return SessionResult{Outcome: decision.Outcome{Verdict: decision.Deny, Reason: r, Slot: slot}}
}

// judge decides a session as its login would be decided now.
func (s *Service) judge(policy *Policy, live *session.Live, source netip.Addr) (*Account, decision.Outcome) {
	now, slot := s.now(), live.Slot()
	account, mark := s.directory.LookupUID(live.UID)
	in := decision.Input{
		Now:          now,
		PasswordOK:   mark == live.Credential,
		ReservedOnly: policy.ReservedOnly,
		MinimumKind:  policy.MinimumKind,
		Attempt: decision.Attempt{
			Program: live.Program, Viewer: live.Viewer, Source: source, MAC: live.MAC, Device: live.Device,
		},
	}
	if account != nil {
		in.User = &account.User
	}
	outcome := decision.Decide(in)
	switch {
	case outcome.Verdict == decision.Deny:
	case !now.Before(live.Expire):
		outcome = decision.Outcome{Verdict: decision.Deny, Reason: decision.SessionExpired, Slot: slot}
	case live.Ended(), account.EndedSessions.Has(live.ID), live.Begin.Before(account.EndSessionsBefore),
		// A session registers no device: where its login would, its own registration is gone.
		outcome.Verdict == decision.Enroll, slot != decision.SlotNone && account.BindingIDs[slot] != live.BindingID:
		outcome = decision.Outcome{Verdict: decision.Deny, Reason: decision.SessionEnded, Slot: slot}
	}
	return account, outcome
}

const (
	// maxLag is how old a session may be for its binding not to have arrived at every sidecar.
	maxLag = 10 * time.Second
	// lagStep is how often it is looked whether it has.
	lagStep = 10 * time.Millisecond
)

// mayBeAhead says whether a session may be newer than what is known of its user.
func (s *Service) mayBeAhead(live *session.Live) bool {
	return !live.Ended() && live.Slot() != decision.SlotNone && s.now().Sub(live.Begin) < maxLag
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
// id. One that is over already stays so.
func (s *Service) EndSession(token, id string) bool {
	live, err := s.sessions.Find(token)
	if err != nil || live.ID != id {
		return false
	}
	// One that this sidecar has not seen in use is to be ended everywhere all the same.
	if s.now().Before(live.Expire) && !live.Ended() {
		s.sessions.Admit(live)
	}
	s.sessions.End(live, session.Logout)
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
	_, outcome := s.judge(policy, live, source)
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
	if len(l.device.Digests) > 0 {
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
