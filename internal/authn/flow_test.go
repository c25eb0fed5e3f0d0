package authn

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tegata-dev/tegata/internal/decision"
	"github.com/tegata-dev/tegata/internal/fingerprint"
	"github.com/tegata-dev/tegata/internal/password"
	"github.com/tegata-dev/tegata/internal/session"
)

const (
	right       = "the-right-password"
	wrong       = "a-wrong-password"
	ownDevice   = "device-of-the-owner"
	otherDevice = "device-of-somebody-else"
)

// stage is a Service with everything around it in memory, and a clock that stands still.
type stage struct {
	*Service
	now      time.Time
	policy   *Policy
	accounts map[string]*Account // by login name
	hash     password.Hash
	others   []password.Hash // not of the password right
	fresh    bool
	keysLost bool
	// keys replace testKeys.
	keys     *fingerprint.Keyring
	busy     error
	during   func() // happens while a password is hashed
	enroll   func(Enrollment) (decision.Outcome, error)
	subjects map[string]*Subject
	kept     []string // ids of sessions whose end was to be made known

	noSessionKeys bool

	mu       sync.Mutex
	verified int
	events   []Event
	logged   strings.Builder
}

func newStage(t *testing.T) *stage {
	t.Helper()
	hash, err := password.Parse("$6$tegatasample$" + strings.Repeat("a", 85) + ".")
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{
		now: time.Date(2026, 11, 15, 10, 0, 0, 0, time.UTC), hash: hash, fresh: true,
		policy: &Policy{
			Denial:  Denial{Code: 293, ResponseTime: time.Second},
			PerUser: Limit{Failures: 3, Interval: time.Minute}, PerSource: Limit{Failures: 6, Interval: time.Minute},
			SessionTTL: time.Hour, SessionsPerUser: 4, FailureHistoryLimit: 10,
		},
		subjects: map[string]*Subject{},
		accounts: map[string]*Account{"owner": {Name: "owner", UID: "uid-owner", User: boundUser(t)}},
	}
	s.enroll = func(e Enrollment) (decision.Outcome, error) { return e.Decide(&e.Account.User), nil }
	s.Service = NewService(Dependencies{
		Directory: s, Verifier: s, Enroller: s, Liveness: s, Recorder: s, Sessions: s.newSessions(),
		Metrics: NewMetrics(prometheus.NewRegistry()), Now: func() time.Time { return s.now },
		Log: funcr.New(func(_, args string) { s.logged.WriteString(args + "\n") }, funcr.Options{}),
	})
	return s
}

// boundUser has the owner's device in the slot pc, and a free slot for a phone.
func boundUser(t *testing.T) decision.User {
	t.Helper()
	u := decision.User{MobilePermitted: true, CombinedPermitted: true, ClientPermitted: true}
	u.Slots[decision.SlotPC] = decision.SlotState{State: decision.Registered, Digest: digest(t, ownDevice)}
	return u
}

func digest(t *testing.T, raw string) decision.Digest {
	t.Helper()
	f, err := fingerprint.ParseOpaque(raw)
	if err != nil {
		t.Fatal(err)
	}
	return (*stage)(nil).Device(f).Digests[0]
}

var testKeys = func() *fingerprint.Keyring {
	ring, err := fingerprint.ParseKeyring(fingerprint.NewSecretData())
	if err != nil {
		panic(err)
	}
	return ring
}()

var testSessionKeys = func() *session.Keys {
	keys, err := session.ParseKeys(session.NewKeys(time.Now()))
	if err != nil {
		panic(err)
	}
	return keys
}()

func (s *stage) Policy() *Policy { return s.policy }

func (s *stage) Lookup(name string) (*Account, password.Hash) {
	if a := s.accounts[strings.ToLower(name)]; a != nil {
		return a, s.hash
	}
	return nil, password.Hash{}
}

func (s *stage) Device(f fingerprint.Fingerprint) decision.Device {
	if s != nil && s.keysLost {
		return decision.Device{}
	}
	if s != nil && s.keys != nil {
		return s.keys.Device(f)
	}
	return testKeys.Device(f)
}

func (s *stage) Verify(_ context.Context, h password.Hash, plain []byte, _ password.Priority) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy != nil {
		return false, s.busy
	}
	s.verified++
	if s.during != nil {
		s.during()
	}
	return !h.IsZero() && !slices.ContainsFunc(s.others, h.Equal) && string(plain) == right, nil
}

// Subject is as the accounts are when it is asked for; and again, when one who follows asks.
func (s *stage) Subject(uid string) *Subject {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.subjects[uid] == nil {
		s.subjects[uid] = &Subject{}
	}
	s.follow()
	return s.subjects[uid]
}

// follow tells those who follow a user what became of it. The lock is held.
func (s *stage) follow() {
	for uid, subject := range s.subjects {
		var now *State
		for _, a := range s.accounts {
			if a.UID == uid {
				now = &State{Account: a, Credential: s.hash.Mark()}
			}
		}
		if before := subject.State(); before == nil || now == nil || *before != *now {
			subject.Become(now)
		}
	}
}

func (s *stage) sessionKeys() *session.Keys {
	if s.noSessionKeys {
		return nil
	}
	return testSessionKeys
}

func (s *stage) newSessions() *session.Sessions {
	return session.New(session.Options{
		Issuer: "demo/asp1", Keys: s.sessionKeys, MaxPerUser: func() int { return s.policy.SessionsPerUser },
		Keep: func(l *session.Live) { s.kept = append(s.kept, l.ID) }, Now: func() time.Time { return s.now },
	})
}

// Enroll stores what enroll decides, as the binding "binding-1".
func (s *stage) Enroll(_ context.Context, e Enrollment) (Enrolled, error) {
	outcome, err := s.enroll(e)
	enrolled := Enrolled{Outcome: outcome}
	if outcome.Verdict != decision.Deny {
		enrolled.BindingID = "binding-1"
	}
	return enrolled, err
}

func (s *stage) Fresh() bool { return s.fresh }

func (s *stage) Record(e Event) { s.events = append(s.events, e) }

// login is an attempt from the PC viewer.
func (s *stage) login(t *testing.T, user, plain, device, source string) Result {
	t.Helper()
	f, err := fingerprint.ParseOpaque(device)
	if err != nil {
		t.Fatal(err)
	}
	return s.Check(t.Context(), &Attempt{
		Listener: "test", ID: NewCorrelationID(s.now), Arrival: s.now, UserName: user, Password: []byte(plain),
		Program: decision.ProgramViewer, Viewer: decision.ViewerPC, Fingerprint: &f, Source: netip.MustParseAddr(source),
	})
}

func wantReason(t *testing.T, got Result, want decision.Reason) {
	t.Helper()
	if got.Reason != want {
		t.Errorf("denied for %q, want %q", got.Reason, want)
	}
}

const (
	home = "203.0.113.1"
	away = "198.51.100.2"
)

func TestOwnerPassesWhateverOthersTried(t *testing.T) {
	s := newStage(t)
	for i := range 20 {
		s.login(t, "owner", wrong, otherDevice, fmt.Sprintf("198.51.100.%d", i))
		s.login(t, "owner", wrong, otherDevice, home) // from the owner's own address, too
	}
	wantReason(t, s.login(t, "owner", wrong, otherDevice, away), decision.Throttled)
	if got := s.login(t, "owner", right, ownDevice, home); !got.Allowed() {
		t.Errorf("the owner is denied for %q", got.Reason)
	}
}

func TestCopiedFingerprintDoesNotGuessWithoutLimit(t *testing.T) {
	s := newStage(t)
	for range 50 {
		s.login(t, "owner", wrong, ownDevice, away)
	}
	if s.verified > 3 {
		t.Errorf("%d guesses were checked, want 3", s.verified)
	}
	if got := s.login(t, "owner", right, ownDevice, home); !got.Allowed() {
		t.Errorf("the owner, elsewhere, is denied for %q", got.Reason)
	}
}

func TestRightPasswordOnWrongDeviceFeedsNoLockout(t *testing.T) {
	s := newStage(t)
	for i := range 5 {
		wantReason(t, s.login(t, "owner", right, otherDevice, home), decision.DeviceMismatch)
		_ = i
	}
	wantReason(t, s.login(t, "owner", right, otherDevice, away), decision.DeviceMismatch)
}

// TestSourceTellsNothing: what is left for a source after a refusal does not depend on the cause, so nobody
// learns by an account of their own whether a name is known or a password was right.
func TestSourceTellsNothing(t *testing.T) {
	left := map[string]int{}
	for cause, refuse := range map[string]func(*stage){
		"wrong password":     func(s *stage) { s.login(t, "owner", wrong, otherDevice, away) },
		"right password":     func(s *stage) { s.login(t, "owner", right, otherDevice, away) },
		"unknown name":       func(s *stage) { s.login(t, "nobody", wrong, otherDevice, away) },
		"user has no tokens": func(s *stage) { s.drainName(t); s.login(t, "owner", wrong, otherDevice, away) },
	} {
		s := newStage(t)
		refuse(s)
		for s.login(t, fmt.Sprint("probe-", left[cause]), wrong, otherDevice, away).Reason != decision.Throttled {
			left[cause]++
		}
	}
	for cause, n := range left {
		if n != left["unknown name"] {
			t.Errorf("after %q, %d attempts are left for the source; after an unknown name, %d", cause, n, left["unknown name"])
		}
	}
}

// drainName uses up the owner's tokens from elsewhere.
func (s *stage) drainName(t *testing.T) {
	t.Helper()
	for range 3 {
		s.login(t, "owner", wrong, otherDevice, home)
	}
}

func TestSpellingsOfANameShareALimit(t *testing.T) {
	s := newStage(t)
	s.policy.PerSource = Limit{Failures: 1000, Interval: time.Minute}
	for _, name := range []string{"nobody", "NOBODY", "Nobody", "nobodY", "ｎobody", "noBody"} {
		s.login(t, name, wrong, otherDevice, away)
	}
	if s.verified != 3 {
		t.Errorf("%d spellings were checked, want 3", s.verified)
	}
}

func TestParallelGuessesDoNotExceedTheAllowance(t *testing.T) {
	s := newStage(t)
	s.policy.PerSource = Limit{Failures: 1000, Interval: time.Minute}
	f, err := fingerprint.ParseOpaque(otherDevice)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			l := s.begin(&Attempt{UserName: "owner", Program: decision.ProgramViewer, Viewer: decision.ViewerPC, Fingerprint: &f})
			if _, ok := s.throttle.take(l); ok {
				s.mu.Lock()
				s.verified++
				s.mu.Unlock()
			}
		})
	}
	wg.Wait()
	if s.verified != 3 {
		t.Errorf("%d attempts at once were let through, want 3", s.verified)
	}
}

func TestLoosenedLimitFreesSoon(t *testing.T) {
	s := newStage(t)
	s.policy.PerUser = Limit{Failures: 1, Interval: 24 * time.Hour}
	s.login(t, "owner", wrong, otherDevice, away)
	wantReason(t, s.login(t, "owner", wrong, otherDevice, away), decision.Throttled)
	s.policy.PerUser = Limit{Failures: 100, Interval: time.Second}
	s.login(t, "owner", wrong, otherDevice, away) // sees the new limit
	s.now = s.now.Add(time.Second)
	wantReason(t, s.login(t, "owner", wrong, otherDevice, away), decision.PasswordMismatch)
}

// TestChangesDuringTheHashCount: the account is looked up anew after the time that a hash takes.
func TestChangesDuringTheHashCount(t *testing.T) {
	another := otherHash(t)
	for name, tc := range map[string]struct {
		during func(*stage)
		want   decision.Reason
	}{
		"suspended":         {func(s *stage) { s.change(func(u *decision.User) { u.Suspended = true }) }, decision.UserSuspended},
		"password replaced": {func(s *stage) { s.hash, s.others = another, []password.Hash{another} }, decision.PasswordMismatch},
		// People who know their password are not to be told that it is wrong.
		"password hashed anew":              {func(s *stage) { s.hash = otherHash(t) }, decision.ReasonNone},
		"password hashed anew all the time": {func(s *stage) { s.hash, another = another, s.hash }, decision.PasswordMismatch},
		"device reset": {func(s *stage) {
			s.change(func(u *decision.User) {
				u.Slots[decision.SlotPC] = decision.SlotState{Revoked: []decision.Digest{digest(t, ownDevice)}}
			})
		}, decision.DeviceRevoked},
		"user deleted":        {func(s *stage) { s.accounts = nil }, decision.UnknownUser},
		"user made anew":      {func(s *stage) { s.accounts["owner"] = &Account{Name: "owner", UID: "another", User: boundUser(t)} }, decision.ReasonNone},
		"relay deleted":       {func(s *stage) { s.policy = nil }, decision.ServerUnavailable},
		"knowledge grown old": {func(s *stage) { s.fresh = false }, decision.ServerUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			s.during = func() { tc.during(s) }
			wantReason(t, s.login(t, "owner", right, ownDevice, home), tc.want)
		})
	}
}

// TestHashesArePaidFor: who has the hash replaced all the time, and the second check not made, guesses no more often.
func TestHashesArePaidFor(t *testing.T) {
	s := newStage(t)
	another := otherHash(t)
	s.during = func() { s.hash, another, s.busy = another, s.hash, password.ErrBusy }
	for range 3 * s.policy.PerUser.Failures {
		s.busy = nil
		s.login(t, "owner", wrong, otherDevice, away)
	}
	if s.verified != s.policy.PerUser.Failures {
		t.Errorf("%d hashes for %d guesses", s.verified, s.policy.PerUser.Failures)
	}
}

func (s *stage) change(edit func(*decision.User)) {
	changed := *s.accounts["owner"]
	edit(&changed.User)
	s.accounts["owner"] = &changed
}

func TestUncheckedPasswordCostsNoToken(t *testing.T) {
	s := newStage(t)
	s.busy = password.ErrBusy
	for range 10 {
		wantReason(t, s.login(t, "owner", right, otherDevice, away), decision.ServerUnavailable)
	}
	s.busy = nil
	wantReason(t, s.login(t, "owner", wrong, otherDevice, away), decision.PasswordMismatch)
}

func TestEnrolment(t *testing.T) {
	for name, tc := range map[string]struct {
		enroll func(Enrollment) (decision.Outcome, error)
		want   Result
	}{
		"stored": {func(e Enrollment) (decision.Outcome, error) { return e.Decide(&e.Account.User), nil },
			Result{Outcome: decision.Outcome{Verdict: decision.Enroll}, Enrolled: true}},
		"not stored": {func(Enrollment) (decision.Outcome, error) { return decision.Outcome{}, errors.New("away") },
			Result{Outcome: decision.Outcome{Reason: decision.ServerUnavailable}}},
		"lost the race": {func(Enrollment) (decision.Outcome, error) {
			return decision.Outcome{Reason: decision.DeviceMismatch}, nil
		}, Result{Outcome: decision.Outcome{Reason: decision.DeviceMismatch}}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			s.change(func(u *decision.User) { u.Slots[decision.SlotPC] = decision.SlotState{} })
			s.enroll = tc.enroll
			got := s.login(t, "owner", right, otherDevice, home)
			if got.Verdict != tc.want.Verdict || got.Reason != tc.want.Reason || got.Enrolled != tc.want.Enrolled {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
		})
	}
}

// TestEnrolmentEndsWithItsDenial: one that took longer would show that the password was right.
func TestEnrolmentEndsWithItsDenial(t *testing.T) {
	s := newStage(t)
	s.enroller = deadlines(func(deadline time.Time) {
		if latest := s.now.Add(s.policy.Denial.ResponseTime); !deadline.Before(latest) {
			t.Errorf("an enrolment may take until %v, past its denial's time %v", deadline, latest)
		}
	})
	s.change(func(u *decision.User) { u.Slots[decision.SlotPC] = decision.SlotState{} })
	s.login(t, "owner", right, otherDevice, home)
}

type deadlines func(time.Time)

func (d deadlines) Enroll(ctx context.Context, _ Enrollment) (Enrolled, error) {
	deadline, _ := ctx.Deadline()
	d(deadline)
	return Enrolled{}, ctx.Err()
}

// TestLostKeysAreNoFaultOfTheDevice: a reset would not mend it, and would put the right device out.
func TestLostKeysAreNoFaultOfTheDevice(t *testing.T) {
	s := newStage(t)
	s.keysLost = true
	wantReason(t, s.login(t, "owner", right, ownDevice, home), decision.ServerUnavailable)
}

// TestUnknownNamesLeaveNoTrace: they are not recorded, and not logged: people type passwords into the wrong
// field.
func TestUnknownNamesLeaveNoTrace(t *testing.T) {
	s := newStage(t)
	s.login(t, "my-secret-typed-as-a-name", wrong, otherDevice, away)
	s.login(t, "owner", wrong, otherDevice, away)
	if len(s.events) != 1 || s.events[0].Account.Name != "owner" {
		t.Errorf("recorded %+v, want the owner's alone", s.events)
	}
	for _, secret := range []string{"my-secret-typed-as-a-name", wrong, otherDevice} {
		if strings.Contains(s.logged.String(), secret) {
			t.Errorf("%q is logged", secret)
		}
	}
	if !strings.Contains(s.logged.String(), s.events[0].Attempt.ID) {
		t.Error("the correlation id is not logged")
	}
}

func TestSuccessTellsWhatItIsGoodFor(t *testing.T) {
	s := newStage(t)
	until := s.now.Add(10 * time.Minute)
	owner := *s.accounts["owner"]
	owner.PasswordSaving = PasswordSaving{Login: true}
	owner.User.ValidUntil = until
	s.accounts["owner"] = &owner
	got := s.login(t, "owner", right, ownDevice, home)
	if !got.ExpireTime.Equal(until) || got.PasswordSaving != owner.PasswordSaving {
		t.Errorf("got %+v, want it to hold until %v", got, until)
	}
	if denied := s.login(t, "owner", right, otherDevice, home); denied.PasswordSaving.Login || !denied.ExpireTime.IsZero() {
		t.Errorf("a denial tells %+v", denied)
	}
}

func TestOneAccountHasFewPreferredChecks(t *testing.T) {
	var f inFlight
	for i := range maxPreferred {
		if !f.enter("owner") {
			t.Fatalf("check %d is not preferred", i)
		}
	}
	if f.enter("owner") {
		t.Error("one account has more preferred checks than it may")
	}
	if !f.enter("another") {
		t.Error("one account holds up another")
	}
	f.leave("owner")
	if !f.enter("owner") {
		t.Error("a check that ended still counts")
	}
}
