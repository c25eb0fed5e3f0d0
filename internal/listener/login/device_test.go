package login

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/tegata-dev/tegata/internal/authn"
	"github.com/tegata-dev/tegata/internal/clientcert"
	"github.com/tegata-dev/tegata/internal/decision"
	"github.com/tegata-dev/tegata/internal/fingerprint"
	"github.com/tegata-dev/tegata/internal/listenertest"
	"github.com/tegata-dev/tegata/internal/loginbody"
	"github.com/tegata-dev/tegata/internal/proof"
)

const relayHost = "asp1.example.com"

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// signed is a proof of the key with those claims, name and value in turn.
func signed(t testing.TB, key *ecdsa.PrivateKey, claims ...string) string {
	t.Helper()
	payload := map[string]string{"aud": relayHost, "sub": "hanako", "viewer": "pc"}
	for i := 0; i+1 < len(claims); i += 2 {
		payload[claims[i]] = claims[i+1]
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key},
		(&jose.SignerOptions{EmbedJWK: true}).WithType(proof.Type))
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := json.Marshal(payload)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := signer.Sign(encoded)
	if err != nil {
		t.Fatal(err)
	}
	compact, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return compact
}

// proofBody is a login with a proof instead of a fingerprint.
func proofBody(compact string) string {
	return fmt.Sprintf(`{"user":"hanako","password":"pw","program":"viewer","viewer":"pc","proof":%q}`, compact)
}

// proving is a service that asks for the proof, as authn does, and notes what it is told.
func proving() (service *fakeService, told *[]error) {
	service, told = allowing(), new([]error)
	service.policy = &authn.Policy{Host: relayHost}
	allow := service.check
	service.check = func(ctx context.Context, a *authn.Attempt) authn.Result {
		if a.Proven != nil {
			*told = append(*told, a.Proven())
		}
		return allow(ctx, a)
	}
	return service, told
}

func askChallenge(t *testing.T, h http.Handler) loginbody.Challenge {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/v1/challenges", http.NoBody))
	var reply loginbody.Challenge
	if err := json.Unmarshal(w.Body.Bytes(), &reply); err != nil || w.Code != http.StatusOK {
		t.Fatalf("%d %s: %v", w.Code, w.Body, err)
	}
	if got := w.Header().Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control: %s", got)
	}
	return reply
}

func TestProofs(t *testing.T) {
	key := newKey(t)
	for name, tc := range map[string]struct {
		claims []string
		host   string // that the relay has
		want   error
	}{
		"holds":          {want: nil},
		"another user":   {claims: []string{"sub", "jiro"}, want: proof.ErrUser},
		"another viewer": {claims: []string{"viewer", "mobile"}, want: proof.ErrViewer},
		"another relay":  {claims: []string{"aud", "asp2.example.com"}, want: proof.ErrAudience},
		"no challenge":   {claims: []string{"nonce", "invented"}, want: proof.ErrChallenge},
		"moved since":    {host: "new.example.com", want: proof.ErrChallenge},
	} {
		t.Run(name, func(t *testing.T) {
			service, told := proving()
			h := NewHandler(service)
			claims := append([]string{"nonce", askChallenge(t, h).Nonce}, tc.claims...)
			if tc.host != "" {
				service.policy = &authn.Policy{Host: tc.host}
			}
			body := proofBody(signed(t, key, claims...))
			for range 2 { // the second time it is a replay
				w := httptest.NewRecorder()
				h.ServeHTTP(w, newLogin(body))
				if w.Code != http.StatusOK {
					t.Fatalf("%d %s: not left to the service", w.Code, w.Body)
				}
			}
			want := []error{tc.want, tc.want}
			if tc.want == nil {
				want[1] = proof.ErrUsed
			}
			if diff := cmp.Diff(want, *told, cmp.Comparer(func(a, b error) bool { return a == b })); diff != "" { //nolint:errorlint // the very same
				t.Errorf("told (-want +got):\n%s", diff)
			}
			shown := service.asked()[0].Fingerprint
			if (shown != nil) != (tc.want == nil) || shown != nil && shown.Kind() != fingerprint.Proof {
				t.Errorf("fingerprint %v of a proof with the error %v", shown, tc.want)
			}
		})
	}
}

// TestChallengeOfAnotherProcess: each handler has a key of its own.
func TestChallengeOfAnotherProcess(t *testing.T) {
	service, told := proving()
	nonce := askChallenge(t, NewHandler(service)).Nonce
	NewHandler(service).ServeHTTP(httptest.NewRecorder(), newLogin(proofBody(signed(t, newKey(t), "nonce", nonce))))
	if len(*told) != 1 || (*told)[0] != proof.ErrChallenge { //nolint:errorlint // the very same
		t.Errorf("told %v", *told)
	}
}

// TestProofThatIsNone is refused by its form: nothing is asked, and nothing quoted.
func TestProofThatIsNone(t *testing.T) {
	good := signed(t, newKey(t), "nonce", "n")
	for name, body := range map[string]string{
		"not a JWS":          proofBody(secret),
		"cut short":          proofBody(good[:len(good)/2]),
		"with a fingerprint": strings.Replace(goodBody, "{", `{"proof":"`+good+`",`, 1),
		"of the client":      `{"user":"hanako","password":"pw","program":"client","proof":"` + good + `"}`,
		"of the unbound":     `{"user":"hanako","password":"pw","program":"viewer","viewer":"unbound","proof":"` + good + `"}`,
		"null":               `{"user":"hanako","password":"pw","program":"viewer","viewer":"pc","proof":null}`,
		"too long":           proofBody(strings.Repeat("a", proof.MaxBytes) + ".b.c"),
	} {
		t.Run(name, func(t *testing.T) {
			service := allowing()
			w := httptest.NewRecorder()
			NewHandler(service).ServeHTTP(w, newLogin(body))
			if w.Code != http.StatusBadRequest || len(service.asked()) != 0 || strings.Contains(w.Body.String(), secret) {
				t.Errorf("%d %s, %d attempts", w.Code, w.Body, len(service.asked()))
			}
		})
	}
}

func TestChallengeIsAsDescribed(t *testing.T) {
	router := listenertest.Description(t, openAPI)
	service, _ := proving()
	for method, want := range map[string]int{http.MethodPost: http.StatusOK, http.MethodGet: http.StatusMethodNotAllowed} {
		route, parameters, err := router.FindRoute(httptest.NewRequest(http.MethodPost, "/v1/challenges", http.NoBody))
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest(method, "/v1/challenges", http.NoBody)
		in := &openapi3filter.RequestValidationInput{
			Request: r, Route: route, PathParams: parameters, Options: &openapi3filter.Options{MultiError: true, IncludeResponseStatus: true},
		}
		w := httptest.NewRecorder()
		NewHandler(service).ServeHTTP(w, r)
		if w.Code != want {
			t.Fatalf("%s: status %d, want %d: %s", method, w.Code, want, w.Body)
		}
		if err := validateResponse(in, w.Code, w.Header(), w.Body.String()); err != nil {
			t.Errorf("%s: %v", w.Body, err)
		}
		assertEveryMemberIsDescribed(t, in, w)
	}
}

// deviceCertificate is one of the key, good between the times.
func deviceCertificate(t *testing.T, key *ecdsa.PrivateKey, from, until time.Time) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(from.Unix()), NotBefore: from, NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func TestClientCertificates(t *testing.T) {
	key, now := newKey(t), time.Now()
	good := deviceCertificate(t, key, now.Add(-time.Hour), now.Add(time.Hour))
	own := fingerprint.FromPublicKey(sha256.Sum256(good.RawSubjectPublicKeyInfo))
	without := with(t, "fingerprint", "")
	for name, tc := range map[string]struct {
		body        string
		certificate *x509.Certificate
		proxies     []string
		want        *fingerprint.Fingerprint
		wantError   error
	}{
		"good":                 {body: without, certificate: good, want: &own},
		"renewed for the key":  {body: without, certificate: deviceCertificate(t, key, now.Add(-time.Minute), now.Add(2*time.Hour)), want: &own},
		"expired":              {body: without, certificate: deviceCertificate(t, key, now.Add(-time.Hour), now.Add(-time.Minute)), wantError: clientcert.ErrTime},
		"not yet valid":        {body: without, certificate: deviceCertificate(t, key, now.Add(time.Minute), now.Add(time.Hour)), wantError: clientcert.ErrTime},
		"none":                 {body: without},
		"of a trusted proxy":   {body: without, certificate: good, proxies: []string{"192.0.2.0/24"}},
		"another proxy":        {body: without, certificate: good, proxies: []string{"198.51.100.0/24"}, want: &own},
		"and a fingerprint":    {body: goodBody, certificate: good, want: opaqueOf(t, "aaaaaaaa")},
		"of the client":        {body: `{"user":"hanako","password":"pw","program":"client"}`, certificate: good},
		"of an unbound viewer": {body: strings.Replace(without, `"pc"`, `"unbound"`, 1), certificate: good},
	} {
		t.Run(name, func(t *testing.T) {
			service, told := proving()
			for _, network := range tc.proxies {
				service.policy.TrustedProxies = append(service.policy.TrustedProxies, netip.MustParsePrefix(network))
			}
			r := newLogin(tc.body) // from 192.0.2.1
			r.TLS = &tls.ConnectionState{}
			if tc.certificate != nil {
				r.TLS.PeerCertificates = []*x509.Certificate{tc.certificate}
			}
			w := httptest.NewRecorder()
			NewHandler(service).ServeHTTP(w, r)
			if w.Code != http.StatusOK {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			if got, want := digestOf(service.asked()[0].Fingerprint), digestOf(tc.want); got != want {
				t.Errorf("digest %s, want %s", got, want)
			}
			if tc.wantError != nil && (len(*told) != 1 || (*told)[0] != tc.wantError) || tc.wantError == nil && len(*told) != 0 { //nolint:errorlint // the very same
				t.Errorf("told %v, want %v", *told, tc.wantError)
			}
		})
	}
}

// TestProofIsStrongerThanACertificate: of both, the proof is taken.
func TestProofIsStrongerThanACertificate(t *testing.T) {
	service, _ := proving()
	h := NewHandler(service)
	r := newLogin(proofBody(signed(t, newKey(t), "nonce", askChallenge(t, h).Nonce)))
	r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{
		deviceCertificate(t, newKey(t), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)),
	}}
	h.ServeHTTP(httptest.NewRecorder(), r)
	if got := service.asked()[0].Fingerprint; got == nil || got.Kind() != fingerprint.Proof {
		t.Errorf("fingerprint %v", got)
	}
	// A proof that does not hold is not made good by a certificate.
	bad := newLogin(proofBody(signed(t, newKey(t), "nonce", "invented")))
	bad.TLS = r.TLS
	h.ServeHTTP(httptest.NewRecorder(), bad)
	if got := service.asked()[1]; got.Fingerprint != nil || got.Proven == nil {
		t.Errorf("a bad proof with a certificate: %+v", got)
	}
}

var testKeys = func() *fingerprint.Keyring {
	ring, err := fingerprint.ParseKeyring(fingerprint.NewSecretData())
	if err != nil {
		panic(err)
	}
	return ring
}()

func digestOf(f *fingerprint.Fingerprint) decision.Digest {
	if f == nil {
		return ""
	}
	return testKeys.Device(*f).Digests[0]
}

func opaqueOf(t *testing.T, raw string) *fingerprint.Fingerprint {
	t.Helper()
	f, err := fingerprint.ParseOpaque(raw)
	if err != nil {
		t.Fatal(err)
	}
	return &f
}
