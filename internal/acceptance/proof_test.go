package acceptance

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/testenv"
)

const relayHost = serverName + ".example.com"

// keyedDevice proves itself with an Ed25519 key. It signs by hand, as an implementation would that knows the
// documentation only.
type keyedDevice struct{ key ed25519.PrivateKey }

func newKeyedDevice(t *testing.T) keyedDevice {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	return keyedDevice{key}
}

func base64url(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// jwk is the public key, with the members in the order of RFC 7638.
func (d keyedDevice) jwk() string {
	public, _ := d.key.Public().(ed25519.PublicKey)
	return `{"crv":"Ed25519","kty":"OKP","x":"` + base64url(public) + `"}`
}

func (d keyedDevice) thumbprint() string {
	digest := sha256.Sum256([]byte(d.jwk()))
	return base64url(digest[:])
}

// prove signs a challenge for a login, with claims changed, name and value in turn.
func (d keyedDevice) prove(nonce, user, viewer string, changed ...string) string {
	claims := map[string]string{"nonce": nonce, "aud": relayHost, "sub": user, "viewer": viewer}
	for i := 0; i+1 < len(changed); i += 2 {
		claims[changed[i]] = changed[i+1]
	}
	payload, _ := json.Marshal(claims) // strings always encode
	input := base64url([]byte(`{"alg":"EdDSA","typ":"tegata-device+jwt","jwk":`+d.jwk()+`}`)) + "." + base64url(payload)
	return input + "." + base64url(ed25519.Sign(d.key, []byte(input)))
}

type challenge struct {
	Nonce      string    `json:"nonce"`
	ExpireTime time.Time `json:"expireTime"`
}

func (w *world) challenge(s *sidecar) challenge {
	w.t.Helper()
	response, err := httpClient.Post("http://"+s.url+"/v1/challenges", "", http.NoBody)
	must(w.t, err)
	defer response.Body.Close()
	var c challenge
	if err := json.NewDecoder(response.Body).Decode(&c); err != nil || c.Nonce == "" {
		w.t.Fatalf("challenge: %s, %v", response.Status, err)
	}
	return c
}

// proving is a login with the right password from a phone that proves itself.
func (w *world) proving(s *sidecar, user string, d keyedDevice, changed ...string) attempt {
	w.t.Helper()
	a := phone(user, "")
	a.Proof = d.prove(w.challenge(s).Nonce, user, "mobile", changed...)
	return a
}

// mustProve asks, with a challenge each time, until the person is admitted.
func (w *world) mustProve(s *sidecar, user string, d keyedDevice) answer {
	w.t.Helper()
	var got answer
	w.eventually(func() (err error) {
		if got, err = s.tryLogin(w.proving(s, user, d)); err == nil && !got.allowed() {
			err = fmt.Errorf("%s is not admitted yet: %d %s", user, got.Status, got.body)
		}
		return err
	})
	return got
}

func unhurried(s *v1alpha1.RelayServer) {
	s.Spec.Throttle.PerUser, s.Spec.Throttle.PerSource = limit(1000), limit(1000)
	s.Spec.Denial.ResponseTime = metav1.Duration{Duration: 500 * time.Millisecond}
}

// TestDevicesProveThemselves binds a phone by its key, and comes back with everything but the key.
func TestDevicesProveThemselves(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testenv.Shared(t), unhurried)
	w.addUser("aya", testenv.Mobile)
	w.addUser("ben", testenv.Mobile)
	s, other := w.startSidecar("--log-level=debug"), w.startSidecar()
	expiring := w.challenge(s) // is let expire while the rest happens
	mine, another := newKeyedDevice(t), newKeyedDevice(t)

	if first := w.mustProve(s, "aya", mine); !first.Enrolled || first.Slot != "mobile" {
		t.Fatalf("first login: %s, want the phone enrolled", first.body)
	}
	if bound := w.user("aya").Status.Slots[1].Binding; bound == nil || bound.Kind != v1alpha1.FingerprintProof {
		t.Fatalf("bound by %+v", bound)
	}
	if again := w.mustProve(other, "AYA", mine); again.Enrolled {
		t.Fatalf("second login, at another sidecar: %s", again.body)
	}

	used := w.proving(s, "aya", mine)
	if got := w.login(s, used); !got.allowed() {
		t.Fatalf("%d %s", got.Status, got.body)
	}
	opaque := phone("aya", mine.thumbprint())
	forBen := w.proving(s, "aya", mine, "sub", "ben")
	forBen.User = "ben"
	onPC := w.proving(s, "aya", mine)
	onPC.Viewer = "pc"
	uniform := mask(w.login(s, guess("aya")))
	for name, tc := range map[string]struct {
		attempt attempt
		want    v1alpha1.Reason
	}{
		"replayed":                {used, v1alpha1.ReasonDeviceProofInvalid},
		"for another relay":       {w.proving(s, "aya", mine, "aud", "asp2.example.com"), v1alpha1.ReasonDeviceProofInvalid},
		"for another user":        {w.proving(s, "aya", mine, "sub", "ben"), v1alpha1.ReasonDeviceProofInvalid},
		"for another viewer":      {onPC, v1alpha1.ReasonDeviceProofInvalid},
		"a stolen JWK":            {w.stolenKey(s, mine), v1alpha1.ReasonDeviceProofInvalid},
		"an invented nonce":       {w.proving(s, "aya", mine, "nonce", "AAAA"), v1alpha1.ReasonDeviceProofInvalid},
		"another sidecar's nonce": {w.proving(other, "aya", mine), v1alpha1.ReasonDeviceProofInvalid},
		"another key":             {w.proving(s, "aya", another), v1alpha1.ReasonDeviceMismatch},
		"its name as a string":    {opaque, v1alpha1.ReasonDeviceMismatch},
	} {
		t.Run(name, func(t *testing.T) {
			w := w.in(t)
			w.expectDenial(s, tc.attempt, uniform, tc.want)
		})
	}
	// What was signed for ben by aya's phone is ben's first login from a phone that was not bound to him.
	if got := w.login(s, forBen); !got.Enrolled {
		t.Errorf("%d %s", got.Status, got.body)
	}
	if n := s.metric(`tegata_login_attempts_total{listener="login",reason="DeviceProofInvalid",verdict="deny"}`); n != 7 {
		t.Errorf("%v bad proofs are counted", n)
	}
	w.expectSilence(s, mine, used, expiring)

	<-time.After(time.Until(expiring.ExpireTime.Add(time.Second))) // the time is told in whole seconds
	late := phone("aya", "")
	late.Proof = mine.prove(expiring.Nonce, "aya", "mobile")
	w.expectDenial(s, late, uniform, v1alpha1.ReasonDeviceProofInvalid)
	if log := readFile(t, s.LogPath()); !strings.Contains(log, `"unproven":"the challenge has expired"`) {
		t.Error("the log does not say why")
	}
}

// in is the world in a subtest.
func (w *world) in(t *testing.T) *world {
	inner := *w
	inner.t = t
	return &inner
}

// stolenKey is a login with a device's public key, and without its private one.
func (w *world) stolenKey(s *sidecar, of keyedDevice) attempt {
	w.t.Helper()
	a := w.proving(s, "aya", of)
	signed := a.Proof[:strings.LastIndex(a.Proof, ".")]
	a.Proof = signed + "." + base64url(ed25519.Sign(newKeyedDevice(w.t).key, []byte(signed)))
	return a
}

// expectDenial wants the one denial, and the reason where the administrator sees it.
func (w *world) expectDenial(s *sidecar, a attempt, uniform string, want v1alpha1.Reason) {
	w.t.Helper()
	got := w.login(s, a)
	if got.Status != http.StatusUnauthorized || mask(got) != uniform {
		w.t.Errorf("denial differs:\n%s\nfrom\n%s", mask(got), uniform)
	}
	w.eventually(func() error {
		for _, f := range w.user(a.User).Status.RecentFailures {
			if f.CorrelationID == got.CorrelationID && f.Reason == want {
				return nil
			}
		}
		return errNotYet("no failure for %s with the ID %s: %+v", want, got.CorrelationID, w.user(a.User).Status.RecentFailures)
	})
}

// expectSilence: neither proofs, nor nonces, nor what a key is known by is written anywhere.
func (w *world) expectSilence(s *sidecar, d keyedDevice, used attempt, unused challenge) {
	w.t.Helper()
	for what, text := range map[string]string{
		"log": readFile(w.t, s.LogPath()), "users": w.kubectl("", "get", "relayusers", "-o", "yaml"), "metrics": s.metrics(),
	} {
		for name, secret := range map[string]string{
			"a proof": used.Proof, "a signature": used.Proof[strings.LastIndex(used.Proof, ".")+1:],
			"a nonce": unused.Nonce, "a thumbprint": d.thumbprint(),
		} {
			if strings.Contains(text, secret) {
				w.t.Errorf("%s is written to the %s", name, what)
			}
		}
	}
}

// TestReplaysRace: of many logins at once with one proof, one is admitted.
func TestReplaysRace(t *testing.T) {
	t.Parallel()
	const logins = 24
	w := newWorld(t, testenv.Shared(t), unhurried)
	w.addUserWithHash("chie", testenv.Mobile)
	s := w.startSidecar("--hash-queue=64")
	mine := newKeyedDevice(t)
	w.mustProve(s, "chie", mine)
	for range 4 {
		a := w.proving(s, "chie", mine)
		var admitted atomic.Int64
		var wg sync.WaitGroup
		for range logins {
			wg.Go(func() {
				if got, err := s.tryLogin(a); err != nil {
					t.Error(err)
				} else if got.allowed() {
					admitted.Add(1)
				}
			})
		}
		wg.Wait()
		if admitted.Load() != 1 {
			t.Errorf("%d of %d logins with one proof are admitted", admitted.Load(), logins)
		}
	}
}

// TestMinimumKindIsRequired by the relay of all its users, and by a user beyond that.
func TestMinimumKindIsRequired(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testenv.Shared(t), unhurried)
	w.addUser("dai", testenv.Mobile, func(u *v1alpha1.RelayUser) { u.Spec.MinimumDeviceKind = v1alpha1.FingerprintProof })
	w.addUser("emi", testenv.Mobile)
	s := w.startSidecar()
	w.mustLogin(s, phone("emi", oldPhone))
	uniform := mask(w.login(s, guess("dai")))
	w.expectDenial(s, phone("dai", oldPhone), uniform, v1alpha1.ReasonDeviceKindNotPermitted)
	w.mustProve(s, "dai", newKeyedDevice(t))
	w.kubectl("", "patch", "relayserver", serverName, "--type=merge", "-p", `{"spec":{"minimumDeviceKind":"Certificate"}}`)
	w.eventually(func() error {
		if got, err := s.tryLogin(phone("emi", oldPhone)); err != nil || got.allowed() {
			return errNotYet("an opaque fingerprint is enough: %v", err)
		}
		return nil
	})
	w.expectDenial(s, phone("emi", oldPhone), uniform, v1alpha1.ReasonDeviceKindNotPermitted)
}

// certificateFor is a certificate that a key has issued for itself.
func certificateFor(t *testing.T, key *ecdsa.PrivateKey, from, until time.Time) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "device"},
		NotBefore: from, NotAfter: until, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func newECKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	return key
}

// startTLSSidecar starts one that asks for client certificates.
func (w *world) startTLSSidecar() *sidecar {
	w.t.Helper()
	key, now := newECKey(w.t), time.Now()
	pair, dir := certificateFor(w.t, key, now.Add(-time.Hour), now.Add(time.Hour)), w.t.TempDir()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	must(w.t, err)
	certPath, keyPath := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	must(w.t, os.WriteFile(certPath, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}), 0o600))
	must(w.t, os.WriteFile(keyPath, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600))
	return w.startSidecar("--tls-cert="+certPath, "--tls-key="+keyPath, "--tls-client-certificates")
}

// overTLS asks a sidecar on a connection with those certificates.
func (w *world) overTLS(s *sidecar, a attempt, certificates ...tls.Certificate) answer {
	w.t.Helper()
	//nolint:gosec // which certificate the sidecar has is tested elsewhere
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, Certificates: certificates}}
	defer transport.CloseIdleConnections()
	got, err := askLogin(context.Background(), &http.Client{Transport: transport, Timeout: patience}, "https://"+s.url, a)
	must(w.t, err)
	return got
}

// TestCertificateLogin binds a PC by the key of its client certificate.
func TestCertificateLogin(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testenv.Shared(t), unhurried)
	w.addUser("fumi", func(u *v1alpha1.RelayUser) { u.Spec.MinimumDeviceKind = v1alpha1.FingerprintCertificate })
	w.addUser("gen")
	s := w.startTLSSidecar()
	key, now := newECKey(t), time.Now()
	mine := certificateFor(t, key, now.Add(-time.Hour), now.Add(time.Hour))
	bare := pc("fumi", "")
	var first answer
	w.eventually(func() error {
		if first = w.overTLS(s, bare, mine); !first.allowed() {
			return errNotYet("%d %s", first.Status, first.body)
		}
		return nil
	})
	if bound := w.user("fumi").Status.Slots[0].Binding; !first.Enrolled || bound == nil || bound.Kind != v1alpha1.FingerprintCertificate {
		t.Fatalf("first login: %s, bound by %+v", first.body, bound)
	}
	renewed := certificateFor(t, key, now.Add(-time.Minute), now.Add(2*time.Hour))
	if got := w.overTLS(s, bare, renewed); !got.allowed() || got.Enrolled {
		t.Errorf("with a renewed certificate: %d %s", got.Status, got.body)
	}
	spki := sha256.Sum256(mustMarshalKey(t, key))
	for name, tc := range map[string]struct {
		attempt      attempt
		certificates []tls.Certificate
		want         v1alpha1.Reason
	}{
		"no certificate":    {bare, nil, v1alpha1.ReasonDeviceAuthUnsupported},
		"another key":       {bare, []tls.Certificate{certificateFor(t, newECKey(t), now.Add(-time.Hour), now.Add(time.Hour))}, v1alpha1.ReasonDeviceMismatch},
		"an expired one":    {bare, []tls.Certificate{certificateFor(t, key, now.Add(-time.Hour), now.Add(-time.Minute))}, v1alpha1.ReasonDeviceProofInvalid},
		"its digest":        {pc("fumi", base64url(spki[:])), nil, v1alpha1.ReasonDeviceKindNotPermitted},
		"a string besides":  {pc("fumi", aPC), []tls.Certificate{mine}, v1alpha1.ReasonDeviceKindNotPermitted},
		"another user's PC": {pc("gen", ""), []tls.Certificate{mine}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := w.in(t)
			got := w.overTLS(s, tc.attempt, tc.certificates...)
			if got.allowed() != (tc.want == "") {
				t.Fatalf("%d %s", got.Status, got.body)
			}
			if tc.want != "" {
				w.expectFailure(tc.attempt.User, tc.want)
			}
		})
	}
}

func mustMarshalKey(t *testing.T, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	must(t, err)
	return der
}
