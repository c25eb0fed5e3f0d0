// Package proof lets a device show that it holds a private key, instead of a string that can be copied: it
// signs a fresh challenge, and is known from then on by the thumbprint of its public key (RFC 7638).
//
// It owns the challenges, the form of a proof (a JWS, RFC 7515, with the public key in its header) and what
// a proof has to be good for. It must not decide on a login, must remember nothing of a challenge before it
// is redeemed, and must never quote a proof in an error.
package proof

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
	"sigs.k8s.io/json"

	"github.com/tegata-dev/tegata/internal/loginname"
)

const (
	// Type is a proof's typ. It keeps other JWTs of the same key from being taken for one (RFC 8725, section 3.11).
	Type = "tegata-device+jwt"
	// MaxBytes bounds a proof. The longest, of an RSA key of 4096 bits, has about 2.5 KiB.
	MaxBytes = 4096
)

// Bounds of claims, in bytes.
const (
	maxNonceBytes    = 128
	maxAudienceBytes = 253
)

// ErrMalformed is what every error of Parse wraps. No error quotes the proof.
var ErrMalformed = errors.New("malformed proof")

// Proof is a proof of the right form. Nothing of it is verified.
type Proof struct {
	jws    *jose.JSONWebSignature
	key    *jose.JSONWebKey
	claims claims
}

// header is all that a proof's header may hold. In particular no crit, b64, jku or x5c: there is nothing in
// it to be obeyed or fetched.
type header struct {
	Algorithm jose.SignatureAlgorithm `json:"alg"`
	Type      string                  `json:"typ"`
	Key       rawKey                  `json:"jwk"`
}

// claims are all that a proof may say. The nonce says when it was made; a device's clock may be wrong, and
// iat, which libraries like to add, is not judged.
type claims struct {
	Nonce    string   `json:"nonce"`
	Audience string   `json:"aud"`
	User     string   `json:"sub"`
	Viewer   string   `json:"viewer"`
	IssuedAt *float64 `json:"iat"`
}

// Parse reads a proof strictly. What it refuses is wrong by its form alone, whoever sent it.
func Parse(compact string) (*Proof, error) {
	if len(compact) > MaxBytes {
		return nil, malformed("longer than %d bytes", MaxBytes)
	}
	parts := strings.Split(compact, ".")
	if len(parts) != 3 {
		return nil, malformed("not three parts with two dots between them")
	}
	// Strictly: go-jose skips line ends, and takes several spellings for one.
	decoded := make([][]byte, len(parts))
	for i, part := range parts {
		var err error
		if decoded[i], err = base64.RawURLEncoding.Strict().DecodeString(part); err != nil || strings.ContainsAny(part, "\r\n") {
			return nil, malformed("not base64url without padding")
		}
	}
	h, err := parseHeader(decoded[0])
	if err != nil {
		return nil, err
	}
	p := &Proof{}
	if p.claims, err = parseClaims(decoded[1]); err != nil {
		return nil, err
	}
	if p.jws, err = jose.ParseSignedCompact(compact, []jose.SignatureAlgorithm{h.Algorithm}); err != nil {
		return nil, malformed("jwk is no public key")
	}
	p.key = p.jws.Signatures[0].Header.JSONWebKey
	return p, checkKey(h.Algorithm, p.key)
}

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
}

func parseHeader(encoded []byte) (header, error) {
	var h header
	if !decodes(encoded, &h) {
		return header{}, malformed("the header must have alg, typ and jwk alone, and jwk the members of one public key")
	}
	if h.Type != Type {
		return header{}, malformed("typ must be %s", Type)
	}
	if !slices.Contains(algorithms, h.Algorithm) {
		return header{}, malformed("alg must be one of %s", algorithms)
	}
	return h, nil
}

func parseClaims(encoded []byte) (claims, error) {
	var c claims
	if !decodes(encoded, &c) {
		return claims{}, malformed("the payload must be an object with nonce, aud, sub, viewer, and perhaps iat, alone")
	}
	switch {
	case c.Nonce == "" || len(c.Nonce) > maxNonceBytes:
		return claims{}, malformed("nonce must have 1 to %d bytes", maxNonceBytes)
	case c.Audience == "" || len(c.Audience) > maxAudienceBytes:
		return claims{}, malformed("aud must have 1 to %d bytes", maxAudienceBytes)
	case c.User == "" || len(c.User) > loginname.MaxBytes:
		return claims{}, malformed("sub must have 1 to %d bytes", loginname.MaxBytes)
	case c.Viewer != "pc" && c.Viewer != "mobile":
		return claims{}, malformed("viewer must be pc or mobile")
	}
	return c, nil
}

// decodes reads an object strictly: no unknown, repeated or differently spelled members, nothing after it.
func decodes(encoded []byte, into any) bool {
	if len(encoded) == 0 || encoded[0] != '{' {
		return false // null, of which json makes nothing
	}
	strict, err := json.UnmarshalStrict(encoded, into)
	return err == nil && len(strict) == 0
}
