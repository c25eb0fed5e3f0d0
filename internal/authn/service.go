package authn

import (
	"context"
	"time"

	"github.com/go-logr/logr"

	"github.com/tegata-dev/tegata/internal/decision"
	"github.com/tegata-dev/tegata/internal/logflood"
	"github.com/tegata-dev/tegata/internal/password"
	"github.com/tegata-dev/tegata/internal/tracing"
)

// replyMargin is what is left of a denial's time when an enrolment is given up.
const replyMargin = 20 * time.Millisecond

// Service answers logins.
type Service struct {
	directory Directory
	verifier  Verifier
	enroller  Enroller
	liveness  Liveness
	recorder  Recorder
	history   History
	sessions  Sessions
	throttle  *throttle
	preferred inFlight
	metrics   *Metrics
	tracer    *tracing.Tracer
	now       func() time.Time
	log       logr.Logger
	// What anybody can cause without a password being hashed is logged so often only.
	unhashed, refused *logflood.Line
}

// Dependencies are what a Service works with. All are required but History, Tracer and Now.
type Dependencies struct {
	Directory Directory
	Verifier  Verifier
	Enroller  Enroller
	Liveness  Liveness
	Recorder  Recorder
	// History is nil where no attempts are kept.
	History  History
	Sessions Sessions
	Metrics  *Metrics
	// Tracer is nil where no traces are made.
	Tracer *tracing.Tracer
	Log    logr.Logger
	// Now is the clock; time.Now when nil.
	Now func() time.Time
}

// NewService makes a Service.
func NewService(d Dependencies) *Service {
	if d.Now == nil {
		d.Now = time.Now
	}
	return &Service{
		directory: d.Directory, verifier: d.Verifier, enroller: d.Enroller, liveness: d.Liveness,
		recorder: d.Recorder, history: d.History, sessions: d.Sessions, metrics: d.Metrics, tracer: d.Tracer, now: d.Now, log: d.Log,
		throttle: newThrottle(d.Now),
		unhashed: logflood.New(d.Log, loginLine), refused: logflood.New(d.Log, "Session refused"),
	}
}

// Denial is the current shape of denials.
func (s *Service) Denial() Denial {
	if p := s.directory.Policy(); p != nil {
		return p.Denial
	}
	return DefaultDenial
}

// Policy is the relay's current policy, nil while it is not known.
func (s *Service) Policy() *Policy { return s.directory.Policy() }

// Check answers one login. It returns within the policy's response time, or, when a password hash that has
// begun takes longer, as soon as that is done.
func (s *Service) Check(ctx context.Context, a *Attempt) Result {
	ctx, span := s.tracer.Start(ctx, "login")
	defer span.End()
	step := s.tracer.Step(ctx, "directory")
	l := s.begin(a)
	step.End()
	l.result.Outcome = s.outcome(ctx, l)
	step = s.tracer.Step(ctx, "record")
	s.finish(l)
	step.End()
	l.describe(span)
	return l.result
}

// login is one attempt under way.
type login struct {
	attempt *Attempt
	policy  *Policy
	account *Account // nil when the name is unknown
	hash    password.Hash
	hashed  bool // the password was: that is paid for
	device  decision.Device
	// bindingID is the binding that the device is admitted by, empty for none.
	bindingID string
	// bound is the digest under which it is bound, which may be by an older key; empty when it is registered now.
	bound decision.Digest
	// unproven is why the proof that the device offered does not hold, nil when it does or when there is none.
	unproven error
	result   Result
}

func (s *Service) begin(a *Attempt) *login {
	l := &login{attempt: a, policy: s.directory.Policy()}
	l.account, l.hash = s.directory.Lookup(a.UserName)
	if a.Fingerprint != nil {
		l.device = s.directory.Device(*a.Fingerprint)
	}
	return l
}

func (s *Service) outcome(ctx context.Context, l *login) decision.Outcome {
	// Without the relay's keys a device cannot be recognised. That is not for want of its fingerprint, and must
	// not be recorded as something that a reset mends.
	noKeys := l.attempt.Fingerprint != nil && len(l.device.Digests) == 0
	if l.policy == nil || noKeys || !s.liveness.Fresh() {
		return l.deny(decision.ServerUnavailable)
	}
	step := s.tracer.Step(ctx, "throttle")
	permit, ok := s.throttle.take(l)
	step.End()
	if !ok {
		return l.deny(decision.Throttled)
	}
	passwordOK, err := s.verify(ctx, l)
	if err != nil {
		if !l.hashed {
			permit.refundAll()
		}
		return l.deny(decision.ServerUnavailable)
	}
	// Used up only now: nobody can use up more challenges than the passwords that are hashed for them.
	if l.attempt.Proven != nil {
		step = s.tracer.Step(ctx, "proof")
		l.unproven = l.attempt.Proven()
		step.End()
	}
	step = s.tracer.Step(ctx, "decide")
	outcome := s.decide(l, passwordOK)
	step.End()
	if outcome.Verdict == decision.Enroll {
		outcome = s.enroll(ctx, l)
	}
	switch {
	case outcome.Verdict != decision.Deny:
		permit.refundAll()
	case passwordOK:
		// Only guesses count against the name: a person with a new phone, who knows the password, may try
		// again and again. The source's token stays taken: whoever has an account of their own could
		// otherwise tell from what is left of it whether a password was right.
		permit.refundName()
	}
	if outcome.Verdict == decision.Deny {
		return outcome
	}
	// The hash and the enrolment took time, in which this sidecar may have been frozen or cut off.
	if !s.liveness.Fresh() {
		return l.deny(decision.ServerUnavailable)
	}
	step = s.tracer.Step(ctx, "session")
	err = s.beginSession(l)
	step.End()
	if err != nil {
		s.log.Error(err, "Session could not begin", "correlationID", l.attempt.ID, "user", l.account.Name)
		return l.deny(decision.ServerUnavailable)
	}
	return outcome
}

// verify checks the password, and once more when the hash was replaced meanwhile: another hash may well be of the
// same password. It waits for a hash slot for most of the time that a denial takes anyway, and no longer.
func (s *Service) verify(ctx context.Context, l *login) (bool, error) {
	ctx, cancel := context.WithDeadline(ctx, l.attempt.Arrival.Add(l.policy.Denial.ResponseTime*3/4))
	defer cancel()
	ok, err := s.verifyOnce(ctx, l)
	l.hashed = err == nil
	if l.hashed && s.lookUpAnew(l) {
		return s.verifyOnce(ctx, l)
	}
	return ok, err
}

func (s *Service) verifyOnce(ctx context.Context, l *login) (bool, error) {
	ctx, span := s.tracer.Start(ctx, "hash")
	defer span.End()
	priority := password.Ordinary
	if l.fromBoundDevice() && s.preferred.enter(l.account.UID) {
		defer s.preferred.leave(l.account.UID)
		priority = password.Preferred
	}
	return s.verifier.Verify(ctx, l.hash, l.attempt.Password, priority)
}

// decide looks the account up anew: the hash took time, and a reset that is Complete, a suspension or a
// new password that this sidecar has seen meanwhile must count.
func (s *Service) decide(l *login, passwordOK bool) decision.Outcome {
	l.policy = s.directory.Policy()
	if l.policy == nil {
		return l.deny(decision.ServerUnavailable)
	}
	replaced := s.lookUpAnew(l)
	outcome := decision.Decide(s.input(l, passwordOK && !replaced, l.user()))
	if outcome.Verdict == decision.Allow && outcome.Slot != decision.SlotNone {
		l.bindingID = l.account.BindingIDs[outcome.Slot]
	}
	l.recognised(outcome, l.user())
	return outcome
}

// lookUpAnew brings the account and its hash up to date, and says whether what a password was checked for is theirs
// no more.
func (s *Service) lookUpAnew(l *login) (replaced bool) {
	before, hash := l.account, l.hash
	l.account, l.hash = s.directory.Lookup(l.attempt.UserName)
	if before == nil || l.account == nil {
		return before != l.account
	}
	return before.UID != l.account.UID || !hash.Equal(l.hash)
}

// recognised notes by which digest a device was found to be the one that is bound.
func (l *login) recognised(outcome decision.Outcome, user *decision.User) {
	l.bound = ""
	if outcome.Verdict == decision.Allow && outcome.Slot != decision.SlotNone {
		l.bound = user.Slots[outcome.Slot].Digest
	}
}

func (s *Service) input(l *login, passwordOK bool, user *decision.User) decision.Input {
	return decision.Input{
		Now:          s.now(),
		User:         user,
		PasswordOK:   passwordOK,
		ReservedOnly: l.policy.ReservedOnly,
		MinimumKind:  l.policy.MinimumKind,
		Attempt: decision.Attempt{
			Program: l.attempt.Program,
			Viewer:  l.attempt.Viewer,
			Source:  l.attempt.Source,
			MAC:     l.attempt.MAC,
			Device:  l.device,

			ProofInvalid: l.unproven != nil,
		},
	}
}

func (s *Service) enroll(ctx context.Context, l *login) decision.Outcome {
	// An enrolment that takes longer than a denial would show, by the time of its own denial, that the
	// password was right. If it is stored all the same, the next login finds it.
	ctx, cancel := context.WithDeadline(ctx, l.attempt.Arrival.Add(l.policy.Denial.ResponseTime-replyMargin))
	defer cancel()
	ctx, span := s.tracer.Start(ctx, "bind")
	defer span.End()
	slot := l.attempt.slot()
	enrolled, err := s.enroller.Enroll(ctx, Enrollment{
		Account: l.account,
		Slot:    slot,
		Device:  l.device,
		Kind:    l.attempt.Fingerprint.Kind(),
		Source:  l.attempt.Source,
		Time:    s.now(),
		Decide: func(u *decision.User) decision.Outcome {
			outcome := decision.Decide(s.input(l, true, u))
			l.recognised(outcome, u)
			return outcome
		},
	})
	if err != nil {
		span.Fail()
		s.log.Error(err, "Enrolment was not stored", "correlationID", l.attempt.ID, "user", l.account.Name, "slot", slot)
		return l.deny(decision.ServerUnavailable)
	}
	l.result.Enrolled = enrolled.Verdict == decision.Enroll
	l.bindingID = enrolled.BindingID
	return enrolled.Outcome
}

func (s *Service) finish(l *login) {
	now := s.now()
	if l.result.Allowed() {
		l.result.PasswordSaving = l.account.PasswordSaving
	} else {
		l.result.Enrolled = false
	}
	s.metrics.observe(l.attempt.Listener, l.result, now.Sub(l.attempt.Arrival))
	s.logAttempt(l)
	event := Event{Account: l.account, Attempt: l.attempt, UserName: l.keptName(), Device: l.device, Result: l.result, Time: now}
	if l.policy != nil {
		event.FailureHistoryLimit = l.policy.FailureHistoryLimit
	}
	if s.history != nil {
		s.history.Attempted(event)
	}
	if l.account != nil { // unknown names write nothing to the API server
		s.recorder.Record(event)
	}
}

// keptName is the login name where it may be kept. One that nobody has may be a password in the wrong field.
func (l *login) keptName() string {
	if l.account != nil || (l.policy != nil && l.policy.KeepUnknownNames) {
		return l.attempt.UserName
	}
	return ""
}

const loginLine = "Login"

// logAttempt never logs a name that nobody has: people type passwords into the wrong field. How many logins there
// are is bounded by their password hashes, but for those that are denied without one.
func (s *Service) logAttempt(l *login) {
	a, r := l.attempt, l.result
	fields := []any{
		"correlationID", a.ID, "listener", a.Listener, "verdict", r.Verdict.String(), "reason", r.Reason.String(),
		"program", a.Program.String(), "slot", r.Slot.String(), "source", a.Source.String(),
	}
	if l.account != nil {
		fields = append(fields, "user", l.account.Name)
	}
	if l.unproven != nil {
		fields = append(fields, "unproven", l.unproven.Error())
	}
	if r.Allowed() {
		fields = append(fields, "enrolled", r.Enrolled, "destination", a.Destination)
	}
	if r.Reason == decision.Throttled || r.Reason == decision.ServerUnavailable {
		s.unhashed.Info(fields...)
		return
	}
	s.log.Info(loginLine, fields...)
}

// expireTime is the end of the session's time to live or of the account's validity, whichever is first.
func (l *login) expireTime(now time.Time) time.Time {
	end := now.Add(l.policy.SessionTTL)
	if until := l.account.User.ValidUntil; !until.IsZero() && until.Before(end) {
		return until
	}
	return end
}

func (l *login) deny(r decision.Reason) decision.Outcome {
	return decision.Outcome{Verdict: decision.Deny, Reason: r, Slot: l.attempt.slot()}
}

func (l *login) user() *decision.User {
	if l.account == nil {
		return nil
	}
	return &l.account.User
}

// fromBoundDevice says whether the attempt bears the digest of the device that is bound to its slot.
func (l *login) fromBoundDevice() bool {
	slot := l.attempt.slot()
	if l.account == nil || slot == decision.SlotNone {
		return false
	}
	bound := &l.account.User.Slots[slot]
	return bound.State == decision.Registered && l.device.Matches(bound.Digest)
}

func (a *Attempt) slot() decision.Slot {
	judged := decision.Attempt{Program: a.Program, Viewer: a.Viewer}
	return judged.Slot()
}
