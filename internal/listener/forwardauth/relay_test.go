package forwardauth

import (
	"context"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tegata-dev/tegata/internal/authn"
	"github.com/tegata-dev/tegata/internal/decision"
	"github.com/tegata-dev/tegata/internal/fingerprint"
	"github.com/tegata-dev/tegata/internal/password"
	"github.com/tegata-dev/tegata/internal/session"
)

// relayResponseTime is when the relay's denials are sent.
const relayResponseTime = 150 * time.Millisecond

// relay is a real authn.Service with one user, hanako, whose password is pw and whose devices are free to
// register. It remembers what it was asked.
type relay struct {
	*authn.Service
	policy  authn.Policy
	ring    *fingerprint.Keyring
	subject authn.Subject

	mu       sync.Mutex
	account  authn.Account
	logins   []*authn.Attempt
	sessions []authn.SessionAttempt
}

func newRelay(t testing.TB) *relay {
	t.Helper()
	ring, err := fingerprint.ParseKeyring(fingerprint.NewSecretData())
	if err != nil {
		t.Fatal(err)
	}
	keys, err := session.ParseKeys(session.NewKeys(time.Now()))
	if err != nil {
		t.Fatal(err)
	}
	limit := authn.Limit{Failures: 1000, Interval: time.Minute}
	r := &relay{
		ring: ring,
		policy: authn.Policy{
			Host:   relayHost,
			Denial: authn.Denial{Code: 293, ResponseTime: relayResponseTime}, PerUser: limit, PerSource: limit, SessionTTL: time.Hour,
			SessionsPerUser: 100, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")},
		},
		account: authn.Account{Name: "hanako", UID: "uid-hanako", User: decision.User{
			MobilePermitted: true, CombinedPermitted: true, UnboundPermitted: true,
		}},
	}
	r.change(func(*authn.Account) {})
	r.Service = authn.NewService(authn.Dependencies{
		Directory: r, Verifier: r, Enroller: r, Liveness: r, Recorder: r, Metrics: authn.NewMetrics(prometheus.NewRegistry()), Log: logr.Discard(),
		Sessions: session.New(session.Options{
			Issuer: "demo/asp1", Keys: func() *session.Keys { return keys }, MaxPerUser: func() int { return 100 }, Keep: func(*session.Live) {},
		}),
	})
	return r
}

// change makes another account of it: accounts do not change.
func (r *relay) change(by func(*authn.Account)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	by(&r.account)
	next := r.account
	r.subject.Become(&authn.State{Account: &next})
}

// reset frees all slots, as a DeviceReset does.
func (r *relay) reset() {
	r.change(func(a *authn.Account) {
		a.User.Slots, a.BindingIDs = [decision.SlotCount]decision.SlotState{}, [decision.SlotCount]string{}
	})
}

// asked are what was asked so far.
func (r *relay) asked() ([]*authn.Attempt, []authn.SessionAttempt) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.logins, r.sessions
}

func (r *relay) Check(ctx context.Context, a *authn.Attempt) authn.Result {
	r.mu.Lock()
	r.logins = append(r.logins, a)
	r.mu.Unlock()
	return r.Service.Check(ctx, a)
}

func (r *relay) CheckSession(ctx context.Context, a authn.SessionAttempt) authn.SessionResult {
	r.mu.Lock()
	r.sessions = append(r.sessions, a)
	r.mu.Unlock()
	return r.Service.CheckSession(ctx, a)
}

func (r *relay) Policy() *authn.Policy { return &r.policy }

func (r *relay) Lookup(name string) (*authn.Account, password.Hash) {
	if name != "hanako" {
		return nil, password.Hash{}
	}
	return r.subject.State().Account, password.Hash{}
}

func (r *relay) Subject(uid string) *authn.Subject {
	if uid != "uid-hanako" {
		return nil
	}
	return &r.subject
}

func (r *relay) Device(f fingerprint.Fingerprint) decision.Device { return r.ring.Device(f) }

func (*relay) Verify(_ context.Context, _ password.Hash, plain []byte, _ password.Priority) (bool, error) {
	return string(plain) == "pw", nil
}

func (r *relay) Enroll(_ context.Context, e authn.Enrollment) (authn.Enrolled, error) {
	id := "binding-" + e.Slot.String()
	outcome := e.Decide(&r.subject.State().Account.User)
	if outcome.Verdict == decision.Enroll {
		r.change(func(a *authn.Account) {
			a.User.Slots[e.Slot] = decision.SlotState{State: decision.Registered, Digest: e.Device.Digests[0], RegisteredTime: e.Time}
			a.BindingIDs[e.Slot] = id
		})
	}
	return authn.Enrolled{Outcome: outcome, BindingID: id}, nil
}

func (*relay) Fresh() bool        { return true }
func (*relay) Record(authn.Event) {}

func prefixes(cidrs ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, c := range cidrs {
		all = append(all, netip.MustParsePrefix(c))
	}
	return all
}
