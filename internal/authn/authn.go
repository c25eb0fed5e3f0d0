// Package authn answers one login: throttle, look up, verify, decide, enrol, record.
//
// It knows no protocol and no Kubernetes. Listeners hand it an Attempt and render its Result; what it
// needs from outside it declares here as small interfaces. A denial is a Result, never an error: whatever
// cannot be decided is denied.
package authn

import (
	"context"
	"net/netip"
	"time"

	"github.com/tegata-dev/tegata/internal/decision"
	"github.com/tegata-dev/tegata/internal/fingerprint"
	"github.com/tegata-dev/tegata/internal/password"
	"github.com/tegata-dev/tegata/internal/session"
	"github.com/tegata-dev/tegata/internal/timedid"
)

// Attempt is one login as a listener received it.
type Attempt struct {
	// Listener is the listener's name, from a closed set: it labels metrics.
	Listener string
	// ID is the correlation id, from NewCorrelationID. The denied person is shown it.
	ID string
	// Arrival is when the request had arrived.
	Arrival time.Time
	// UserName is the login name as typed.
	UserName string
	// Password is as typed. Check does not keep it.
	Password []byte
	Program  decision.Program
	Viewer   decision.Viewer
	// Fingerprint identifies the device; nil when it did not identify itself.
	Fingerprint *fingerprint.Fingerprint
	// Proven, unless nil, is asked once, after the password was checked, whether what the device offered as a
	// proof holds, and uses it up. Its error is logged, and holds no secret. A proof that is known not to
	// hold comes with no Fingerprint and costs as much as any other.
	Proven func() error
	MAC    decision.MAC
	// Source is the person's address, not a proxy's; the zero value when it is not known.
	Source netip.Addr
	// Destination is the client that a viewer wants to reach. It is logged, not judged.
	Destination string
	// SourceViewer is the viewer that reaches a client, as the gateway tells it. It is kept, not judged.
	SourceViewer string
}

// Result is the answer to an Attempt.
type Result struct {
	decision.Outcome
	// Enrolled says that this login registered the device.
	Enrolled bool
	// PasswordSaving tells the viewer what it may store. Zero unless allowed.
	PasswordSaving PasswordSaving
	// ExpireTime is until when the relay may act on this login. Zero unless allowed.
	ExpireTime time.Time
	// Session is what the login is good for until then, and Token what the person shows for it: a secret. Nil
	// and empty unless allowed.
	Session *session.Live
	Token   string
}

// Allowed says whether the person is let in.
func (r Result) Allowed() bool { return r.Verdict != decision.Deny }

// EndedSessions are those of a user that are over although their time is not.
type EndedSessions struct {
	session.Ended
	// Before ends those that began before it.
	Before time.Time
}

// has says whether a session is one of them.
func (e *EndedSessions) has(live *session.Live) bool {
	return e != nil && (e.Has(live.ID) || live.Begin.Before(e.Before))
}

// PasswordSaving says which passwords a viewer may store.
type PasswordSaving struct{ Login, Windows bool }

// Account is a user as the directory knows it. It is shared and must not be changed.
type Account struct {
	// Name and UID identify the RelayUser; UID never names another one.
	Name, UID string
	User      decision.User
	// BindingIDs identify the bindings of the slots, empty where nothing is bound.
	BindingIDs     [decision.SlotCount]string
	PasswordSaving PasswordSaving
	// EndedSessions are refused although their time is not over; nil when there are none.
	EndedSessions *EndedSessions
	// LastFailure and LastLogin are what the stored status says, zero when it says nothing.
	LastFailure, LastLogin time.Time
}

// Policy is a relay's policy. It is shared and must not be changed.
type Policy struct {
	// Host is the DNS name at which people reach the relay.
	Host         string
	ReservedOnly bool
	Denial       Denial
	// FailureHistoryLimit is how many distinct recent failures a user's status keeps.
	FailureHistoryLimit int
	PerUser, PerSource  Limit
	SessionTTL          time.Duration
	SessionsPerUser     int
	MinimumKind         decision.Kind
	MaxStaleness        time.Duration
	TrustedProxies      []netip.Prefix
	// KeepUnknownNames has login names that nobody has kept in the history of attempts.
	KeepUnknownNames bool
}

// Denial shapes the uniform answer to refused logins.
type Denial struct {
	Code int
	// Messages are texts by BCP 47 language tag; they replace the built-in ones.
	Messages map[string]string
	// ResponseTime is how long after its arrival a denial is sent.
	ResponseTime time.Duration
}

// DefaultDenial is the shape of denials while the policy is not known.
var DefaultDenial = Denial{Code: 293, ResponseTime: time.Second}

// Limit allows a burst of failures that refills evenly over an interval.
type Limit struct {
	Failures int
	Interval time.Duration
}

// Directory is the current state of the relay and its users, from memory.
type Directory interface {
	// Policy is nil while the relay is not known, and once it is gone.
	Policy() *Policy
	// Lookup finds the account that a login name belongs to, and its credential, which is the zero Hash
	// when it has none.
	Lookup(userName string) (*Account, password.Hash)
	// Subject finds a user by UID, nil when there is none.
	Subject(uid string) *Subject
	// Device digests a fingerprint; the zero Device while no key is known.
	Device(fingerprint.Fingerprint) decision.Device
}

// Verifier checks passwords in constant work. The zero Hash costs as much and never matches. An error
// says that the password was not checked.
type Verifier interface {
	Verify(ctx context.Context, h password.Hash, plain []byte, p password.Priority) (bool, error)
}

// Enrollment is a device about to be registered.
type Enrollment struct {
	Account *Account
	Slot    decision.Slot
	Device  decision.Device
	Kind    fingerprint.Kind
	Source  netip.Addr
	Time    time.Time
	// Decide judges the stored state of the user, which may be newer than the directory's.
	Decide func(*decision.User) decision.Outcome
}

// Enrolled is what came of an Enrollment.
type Enrolled struct {
	// Outcome is what Decide said of the state that was stored or found.
	decision.Outcome
	// BindingID is the binding by which the device is admitted, empty when it is not.
	BindingID string
}

// Enroller stores enrolments.
type Enroller interface {
	// Enroll registers the device if Decide, on the stored state, still says so. An error says that nothing
	// is known to be stored.
	Enroll(ctx context.Context, e Enrollment) (Enrolled, error)
}

// Sessions are those of the relay; *session.Sessions is.
type Sessions interface {
	Begin(s session.Session, d session.Details) (*session.Live, string, error)
	Find(token string) (*session.Live, error)
	Admit(l *session.Live)
	End(l *session.Live, cause session.Cause) bool
	EndID(uid, id string, cause session.Cause) bool
	Tag(uid, id, gateway string) string
	Tagged(uid, id, gateway, tag string) bool
	Review(uid string, good func(*session.Live) bool)
	Sweep(good func(*session.Live) bool)
}

// Liveness says whether this sidecar's knowledge is fresh enough to admit anybody.
type Liveness interface {
	Fresh() bool
}

// Event is what happened to one attempt.
type Event struct {
	// Account is nil when nobody has the login name.
	Account *Account
	// Attempt is the caller's again when the event was taken, with the password in it.
	Attempt *Attempt
	// UserName is the login name as typed, empty where it must not be kept.
	UserName string
	Device   decision.Device
	Result   Result
	Time     time.Time
	// FailureHistoryLimit is the policy's.
	FailureHistoryLimit int
}

// Recorder writes to the account's status what happened at a known account. It must not block.
type Recorder interface {
	Record(Event)
}

// History keeps every attempt, also at names that nobody has. It must not block.
type History interface {
	Attempted(Event)
}

// NewCorrelationID makes the id of what arrived at a time: a ULID, 26 characters. It holds that time, which who asked
// knows. It must not hold a later time: a denial would tell by it how long its decision took.
func NewCorrelationID(arrival time.Time) string { return timedid.New(arrival) }
