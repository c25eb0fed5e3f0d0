package forwardauth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/tegata-dev/tegata/internal/authn"
	"github.com/tegata-dev/tegata/internal/fingerprint"
	"github.com/tegata-dev/tegata/internal/listenertest"
	"github.com/tegata-dev/tegata/internal/loginbody"
	"github.com/tegata-dev/tegata/internal/proof"
)

// proveTo signs a challenge as a page would with a key of WebCrypto's.
func proveTo(t *testing.T, host, nonce string) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, (&jose.SignerOptions{EmbedJWK: true}).WithType(proof.Type))
	if err != nil {
		t.Fatal(err)
	}
	jws, err := signer.Sign(fmt.Appendf(nil, `{"nonce":%q,"aud":%q,"sub":"hanako","viewer":"pc"}`, nonce, host))
	if err != nil {
		t.Fatal(err)
	}
	compact, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf(`{"user":"hanako","password":"pw","program":"viewer","viewer":"pc","proof":%q}`, compact)
}

const relayHost = "asp1.example.com"

func newChallenge() *http.Request {
	return httptest.NewRequest(http.MethodPost, "/v1/auth/challenges", http.NoBody)
}

// TestPageThatProvesItself is known by its key, once a challenge, whatever certificate the gateway tells of.
func TestPageThatProvesItself(t *testing.T) {
	s := listenertest.Admitting()
	s.Relay = &authn.Policy{Host: relayHost}
	h := newHandler(s)
	w := ask(h, newChallenge())
	var challenge loginbody.Challenge
	if err := json.Unmarshal(w.Body.Bytes(), &challenge); err != nil || w.Code != http.StatusOK {
		t.Fatalf("%d %s: %v", w.Code, w.Body, err)
	}
	for _, body := range []string{
		proveTo(t, relayHost, challenge.Nonce), proveTo(t, "asp2.example.com", challenge.Nonce), proveTo(t, relayHost, "invented"),
	} {
		if w := ask(h, newLogin(body)); w.Code != http.StatusOK {
			t.Fatalf("%d %s: not left to the service", w.Code, w.Body)
		}
	}
	asked := s.Logins()
	if good := asked[0]; good.Fingerprint == nil || good.Fingerprint.Kind() != fingerprint.Proof || good.Proven() != nil || good.Proven() == nil {
		t.Errorf("a proof: %+v", good)
	}
	for _, bad := range asked[1:] {
		if bad.Fingerprint != nil || bad.Proven == nil || bad.Proven() == nil {
			t.Errorf("a proof that does not hold: %+v", bad)
		}
	}
	if w := ask(h, httptest.NewRequest(http.MethodGet, "/v1/auth/challenges", http.NoBody)); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", w.Code)
	}
}

// TestGatewaysPassProofsOn: a page behind a real gateway proves itself, and cannot twice with one challenge.
func TestGatewaysPassProofsOn(t *testing.T) {
	eachGateway(t, func(t *testing.T, g *gateway) {
		got := g.send(t, http.MethodPost, "/v1/auth/challenges", "", nil, "Origin: "+g.url, "Sec-Fetch-Site: same-origin")
		var challenge loginbody.Challenge
		if err := json.Unmarshal([]byte(got.body), &challenge); err != nil || got.status != http.StatusOK {
			t.Fatalf("%d %s: %v", got.status, got.body, err)
		}
		body := proveTo(t, relayHost, challenge.Nonce)
		g.wantPassed(t, g.get(t, "Cookie: "+g.mustLogin(t, body)), 0)
		if again := g.login(t, body); again.status != http.StatusUnauthorized {
			t.Errorf("a replay: %d %s", again.status, again.body)
		}
	})
}
