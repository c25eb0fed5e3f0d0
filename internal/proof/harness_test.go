package proof

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"sync"
	"testing"
	"time"
)

// object is a JSON object that a test may spoil.
type object map[string]any

// with is a copy with one member changed, or taken out when the value is nil.
func (o object) with(name string, value any) object {
	changed := maps.Clone(o)
	changed[name] = value
	if value == nil {
		delete(changed, name)
	}
	return changed
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func encodeJSON(o any) string {
	if raw, isRaw := o.(string); isRaw {
		return encode([]byte(raw))
	}
	b, err := json.Marshal(o)
	if err != nil {
		panic(err)
	}
	return encode(b)
}

// device signs by hand what a test wants signed: no library keeps it from anything.
type device struct {
	alg  string
	jwk  object
	sign func(input []byte) []byte
}

func (d device) header() object { return object{"alg": d.alg, "typ": Type, "jwk": d.jwk} }

// compact signs whatever header and payload there are.
func (d device) compact(header, payload any) string {
	input := encodeJSON(header) + "." + encodeJSON(payload)
	return input + "." + encode(d.sign([]byte(input)))
}

func (d device) prove(payload object) string { return d.compact(d.header(), payload) }

func sum(input []byte) []byte { s := sha256.Sum256(input); return s[:] }

func newES256() device { return ecDevice(elliptic.P256(), "P-256", "ES256") }

func ecDevice(curve elliptic.Curve, name, alg string) device {
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		panic(err)
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		panic(err)
	}
	half := (len(point) - 1) / 2
	return device{
		alg: alg, jwk: object{"kty": "EC", "crv": name, "x": encode(point[1 : 1+half]), "y": encode(point[1+half:])},
		sign: func(input []byte) []byte {
			r, s, err := ecdsa.Sign(rand.Reader, key, sum(input))
			if err != nil {
				panic(err)
			}
			return append(r.FillBytes(make([]byte, half)), s.FillBytes(make([]byte, half))...)
		},
	}
}

func newEdDSA() device {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	return device{
		alg: "EdDSA", jwk: object{"kty": "OKP", "crv": "Ed25519", "x": encode(public)},
		sign: func(input []byte) []byte { return ed25519.Sign(private, input) },
	}
}

// rsaKey is made once for each size: that takes long.
var rsaKey = func() func(bits int) *rsa.PrivateKey {
	var mu sync.Mutex
	keys := map[int]*rsa.PrivateKey{}
	return func(bits int) *rsa.PrivateKey {
		mu.Lock()
		defer mu.Unlock()
		if keys[bits] == nil {
			key, err := rsa.GenerateKey(rand.Reader, bits)
			if err != nil {
				panic(err)
			}
			keys[bits] = key
		}
		return keys[bits]
	}
}()

func newRSA(alg string, bits int) device {
	key := rsaKey(bits)
	return device{
		alg: alg, jwk: object{"kty": "RSA", "n": encode(key.N.Bytes()), "e": "AQAB"},
		sign: func(input []byte) []byte {
			var signature []byte
			var err error
			if alg == "PS256" {
				signature, err = rsa.SignPSS(rand.Reader, key, crypto.SHA256, sum(input), &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
			} else {
				signature, err = rsa.SignPKCS1v15(nil, key, crypto.SHA256, sum(input))
			}
			if err != nil {
				panic(err)
			}
			return signature
		},
	}
}

// clock stands still until it is moved.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 11, 15, 10, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

const host = "asp1.example.com"

var phoneLogin = Login{Audience: host, User: "taro", Viewer: "mobile"}

// payload is what a phone signs for phoneLogin.
func payload(nonce string) object {
	return object{"nonce": nonce, "aud": host, "sub": "taro", "viewer": "mobile", "iat": 1763200800}
}

func mustParse(t testing.TB, compact string) *Proof {
	t.Helper()
	p, err := Parse(compact)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
