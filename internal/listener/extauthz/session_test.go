package extauthz

import (
	"context"
	"encoding/base64"
	"net/netip"
	"strings"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tegata-dev/tegata/internal/authn"
	"github.com/tegata-dev/tegata/internal/decision"
	"github.com/tegata-dev/tegata/internal/fingerprint"
	"github.com/tegata-dev/tegata/internal/password"
	"github.com/tegata-dev/tegata/internal/session"
)

// relay is a directory of one user, whose PC is bound, and all else that a Service works with.
type relay struct {
	subject authn.Subject
	account authn.Account
	hash    password.Hash
	ring    *fingerprint.Keyring
}

func newRelay(t *testing.T) *relay {
	t.Helper()
	hash, err := password.New([]byte("correct horse"))
	if err != nil {
		t.Fatal(err)
	}
	ring, err := fingerprint.ParseKeyring(fingerprint.NewSecretData())
	if err != nil {
		t.Fatal(err)
	}
	device, err := fingerprint.ParseOpaque("the-device-of-taro")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{hash: hash, ring: ring, account: authn.Account{Name: "taro", UID: "0f8e2a54-7c1d-4f6e-9b35-1d2c3b4a5968"}}
	r.account.User.Slots[decision.SlotPC] = decision.SlotState{State: decision.Registered, Digest: ring.Device(device).Digests[0]}
	r.account.BindingIDs[decision.SlotPC] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	r.become(func(*authn.Account) {})
	return r
}

// become changes what is known of the user.
func (r *relay) become(change func(*authn.Account)) {
	next := r.account
	change(&next)
	r.account = next
	r.subject.Become(&authn.State{Account: &next, Credential: r.hash.Mark()})
}

func (r *relay) service(t *testing.T) *authn.Service {
	t.Helper()
	keys, err := session.ParseKeys(session.NewKeys(time.Now()))
	if err != nil {
		t.Fatal(err)
	}
	return authn.NewService(authn.Dependencies{
		Directory: r, Verifier: r, Liveness: r, Recorder: r, Metrics: authn.NewMetrics(prometheus.NewRegistry()), Log: logr.Discard(),
		Sessions: session.New(session.Options{
			Issuer: "test/relay", Keys: func() *session.Keys { return keys }, MaxPerUser: func() int { return 2 }, Keep: func(*session.Live) {},
		}),
	})
}

func (r *relay) Policy() *authn.Policy {
	return &authn.Policy{
		Denial: authn.Denial{Code: 293, ResponseTime: 100 * time.Millisecond}, SessionTTL: time.Hour, SessionsPerUser: 2,
		PerUser: authn.Limit{Failures: 100, Interval: time.Minute}, PerSource: authn.Limit{Failures: 100, Interval: time.Minute},
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
	}
}

func (r *relay) Lookup(userName string) (*authn.Account, password.Hash) {
	if userName != "taro" {
		return nil, password.Hash{}
	}
	return r.subject.State().Account, r.hash
}

func (r *relay) Subject(uid string) *authn.Subject {
	if uid != r.account.UID {
		return nil
	}
	return &r.subject
}

func (r *relay) Device(f fingerprint.Fingerprint) decision.Device { return r.ring.Device(f) }

func (r *relay) Verify(_ context.Context, _ password.Hash, plain []byte, _ password.Priority) (bool, error) {
	return string(plain) == "correct horse", nil
}

func (r *relay) Fresh() bool        { return true }
func (r *relay) Record(authn.Event) {}

func basicLogin(device string) *authv3.CheckRequest {
	return fromEnvoy(map[string]string{
		"authorization":   "Basic " + base64.StdEncoding.EncodeToString([]byte("taro:correct horse")),
		"x-tegata-device": device, "x-tegata-viewer": "pc",
	})
}

// TestASessionOverEnvoy is one from the login to its end.
func TestASessionOverEnvoy(t *testing.T) {
	known := newRelay(t)
	service := known.service(t)
	s := serve(t, Options{Service: service})
	if denied := see(t, s.check(basicLogin("the-device-of-eve"))); denied.HTTP != 401 {
		t.Fatalf("another device is answered %+v", denied)
	}
	in := see(t, s.check(basicLogin("the-device-of-taro")))
	cookie, _, _ := strings.Cut(in.Added["set-cookie"], ";")
	_, token, _ := strings.Cut(cookie, "=")
	if in.Headers["x-tegata-user"] != "taro" || in.Headers["x-tegata-slot"] != "pc" || token == "" {
		t.Fatalf("the login is answered %+v", in)
	}
	byCookie, byBearer := fromEnvoy(map[string]string{"cookie": cookie}), fromEnvoy(bearing(token))
	for _, r := range []*authv3.CheckRequest{byCookie, byBearer} {
		if got := see(t, s.check(r)); got.Headers["x-tegata-session"] != in.Headers["x-tegata-session"] || len(got.Added) > 0 {
			t.Errorf("the session is answered %+v", got)
		}
	}
	if got := see(t, s.check(fromEnvoy(bearing(token[:len(token)-1])))); got.HTTP != 401 {
		t.Errorf("half a token is answered %+v", got)
	}

	known.become(func(a *authn.Account) { a.User.Suspended = true })
	if got := see(t, s.check(byBearer)); got.HTTP != 401 {
		t.Errorf("while suspended answered %+v", got)
	}
	known.become(func(a *authn.Account) { a.User.Suspended = false })
	if got := see(t, s.check(byBearer)); got.Headers["x-tegata-user"] != "taro" {
		t.Errorf("no longer suspended answered %+v", got)
	}
	if !service.EndSession(token, in.Headers["x-tegata-session"]) {
		t.Fatal("the session could not be ended")
	}
	for _, r := range []*authv3.CheckRequest{byCookie, byBearer} {
		if got := see(t, s.check(r)); got.HTTP != 401 {
			t.Errorf("after its end answered %+v", got)
		}
	}
}
