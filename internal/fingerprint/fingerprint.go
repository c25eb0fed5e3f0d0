// Package fingerprint turns what a device says of itself into a keyed digest.
//
// It owns the normalisation, the digest's spelling and the reading of the Secret with the keys. A raw
// fingerprint never leaves it: everything else in Tegata sees digests only.
package fingerprint

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/tegata-dev/tegata/internal/decision"
)

// Kind tells how a device identified itself. Equal bytes of different kinds have different digests.
type Kind string

const (
	// Opaque is a string that the device reports; whoever learns it can copy it.
	Opaque Kind = "Opaque"
	// Certificate is the public key of a client certificate.
	Certificate Kind = "Certificate"
	// Proof is the public key of which the device has just shown that it holds the private one.
	Proof Kind = "Proof"
)

// Strength is the kind's place among the kinds, KindNone for any other string.
func (k Kind) Strength() decision.Kind {
	switch k {
	case Opaque:
		return decision.KindOpaque
	case Certificate:
		return decision.KindCertificate
	case Proof:
		return decision.KindProof
	}
	return decision.KindNone
}

// Bounds of an opaque fingerprint, in bytes of UTF-8.
const (
	MinOpaqueBytes = 8
	MaxOpaqueBytes = 1024
)

// ErrMalformed is what every refused fingerprint's error wraps. No error quotes the fingerprint.
var ErrMalformed = errors.New("malformed fingerprint")

// Fingerprint is a normalised fingerprint. However it is printed, logged or marshalled, it does not show
// its value.
type Fingerprint struct {
	kind Kind
	// A pointer, because fmt calls no method on the unexported fields of a struct that somebody prints,
	// and would show a string; of a pointer to one it shows the address.
	value *string
}

const redacted = "[fingerprint]"

// String hides the value.
func (Fingerprint) String() string { return redacted }

// Format hides the value whatever the verb: %d, say, does not call String.
func (Fingerprint) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalText hides the value from encoders, JSON's among them.
func (Fingerprint) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// ParseOpaque normalises the string that a device reports: NFC, no surrounding or embedded white space,
// no control characters, between MinOpaqueBytes and MaxOpaqueBytes. Case is kept: it may be base64.
func ParseOpaque(raw string) (Fingerprint, error) {
	if len(raw) > MaxOpaqueBytes {
		return Fingerprint{}, fmt.Errorf("%w: longer than %d bytes", ErrMalformed, MaxOpaqueBytes)
	}
	if !utf8.ValidString(raw) {
		return Fingerprint{}, fmt.Errorf("%w: not UTF-8", ErrMalformed)
	}
	for _, r := range raw {
		if !unicode.IsPrint(r) || unicode.IsSpace(r) {
			return Fingerprint{}, fmt.Errorf("%w: holds white space or control characters", ErrMalformed)
		}
	}
	value := norm.NFC.String(raw)
	if len(value) < MinOpaqueBytes || len(value) > MaxOpaqueBytes {
		return Fingerprint{}, fmt.Errorf("%w: must have %d to %d bytes", ErrMalformed, MinOpaqueBytes, MaxOpaqueBytes)
	}
	return Fingerprint{kind: Opaque, value: &value}, nil
}

// FromPublicKey is the fingerprint of a client certificate: the SHA-256 of its SubjectPublicKeyInfo, so that
// a certificate that is renewed for the same key is the same device.
func FromPublicKey(spkiSHA256 [sha256.Size]byte) Fingerprint {
	return Fingerprint{kind: Certificate, value: new(base64.RawURLEncoding.EncodeToString(spkiSHA256[:]))}
}

// FromThumbprint is the fingerprint of a key that was proven: its JWK thumbprint (RFC 7638, SHA-256).
func FromThumbprint(jwkSHA256 [sha256.Size]byte) Fingerprint {
	return Fingerprint{kind: Proof, value: new(base64.RawURLEncoding.EncodeToString(jwkSHA256[:]))}
}

// Kind tells how the device identified itself.
func (f Fingerprint) Kind() Kind { return f.kind }

// digest is HMAC-SHA256 over a versioned, unambiguous encoding of kind and value.
func (f Fingerprint) digest(k key) decision.Digest {
	mac := hmac.New(sha256.New, []byte(*k.secret))
	mac.Write([]byte("tegata fingerprint v1\x00" + string(f.kind) + "\x00" + *f.value))
	return decision.Digest(k.id + ":" + base64.RawURLEncoding.EncodeToString(mac.Sum(nil)))
}
