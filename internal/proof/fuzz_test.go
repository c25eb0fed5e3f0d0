package proof

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"errors"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// FuzzParse: whatever is accepted has the one form, a key within bounds and nothing private; what it says is
// what another reader of JWTs reads; and nobody gets past Verify without a challenge.
func FuzzParse(f *testing.F) {
	ec, ed, rs := newES256(), newEdDSA(), newRSA("RS256", 2048)
	for _, seed := range []string{
		"", "..", "a.b.c", ec.prove(payload("n")), ed.prove(payload("n")), rs.prove(payload("n")), newRSA("PS256", 2048).prove(payload("n")),
		ec.compact(ec.header().with("alg", "none"), payload("n")), ec.compact(ec.header().with("b64", false), payload("n")),
		ec.compact(ec.header().with("jwk", ec.jwk.with("d", "AQAB")), payload("n")), ec.compact(`{"alg":"ES256","jwk":null}`, "null"),
		ed.compact(`{"alg":"EdDSA","alg":"none","typ":"`+Type+`","jwk":{}}`, `{"nonce":"n","nonce":"m"}`),
	} {
		f.Add(seed)
	}
	v := NewVerifier(nil)
	f.Fuzz(func(t *testing.T, compact string) {
		p, err := Parse(compact)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatalf("error %v", err)
			}
			return
		}
		assertPublic(t, p)
		assertReadAlike(t, compact, p)
		if _, err := v.Verify(p, phoneLogin); err == nil {
			t.Fatal("it is accepted without a challenge")
		}
		if v.Redeem(p, phoneLogin) == nil {
			t.Fatal("it is redeemed without a challenge")
		}
	})
}

func assertPublic(t *testing.T, p *Proof) {
	t.Helper()
	switch key := p.key.Key.(type) {
	case *ecdsa.PublicKey, ed25519.PublicKey:
	case *rsa.PublicKey:
		if n := key.N.BitLen(); n < minRSABits || n > maxRSABits {
			t.Fatalf("RSA of %d bits", n)
		}
	default:
		t.Fatalf("a key of type %T", key)
	}
	if len(p.jws.Signatures) != 1 || len(p.claims.Nonce) > maxNonceBytes {
		t.Fatalf("%d signatures, a nonce of %d bytes", len(p.jws.Signatures), len(p.claims.Nonce))
	}
}

func assertReadAlike(t *testing.T, compact string, p *Proof) {
	t.Helper()
	token, err := jwt.ParseSigned(compact, []jose.SignatureAlgorithm{jose.ES256, jose.EdDSA, jose.PS256, jose.RS256})
	if err != nil {
		t.Fatalf("another reader refuses what was accepted: %v", err)
	}
	var other struct {
		Nonce  string `json:"nonce"`
		User   string `json:"sub"`
		Viewer string `json:"viewer"`
	}
	if err := token.UnsafeClaimsWithoutVerification(&other); err != nil {
		t.Fatalf("another reader: %v", err)
	}
	if other.Nonce != p.claims.Nonce || other.User != p.claims.User || other.Viewer != p.claims.Viewer {
		t.Fatal("another reader reads another proof")
	}
}
