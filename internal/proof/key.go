package proof

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"

	"github.com/go-jose/go-jose/v4"

	"github.com/tegata-dev/tegata/internal/fingerprint"
)

// algorithms are those of the key stores that devices have: Secure Enclave, Android Keystore, TPM, WebCrypto.
var algorithms = []jose.SignatureAlgorithm{jose.ES256, jose.EdDSA, jose.PS256, jose.RS256}

// Bounds of an RSA key. The public exponent is the one that everybody uses: others are either weak or slow.
const (
	minRSABits  = 2048
	maxRSABits  = 4096
	rsaExponent = 65537
)

// rawKey is all that a jwk may hold: the members of a public key, and those that tell of its use, which
// WebCrypto adds and nobody here reads. A private key has others.
type rawKey struct {
	Kty    string   `json:"kty"`
	Crv    string   `json:"crv"`
	X      string   `json:"x"`
	Y      string   `json:"y"`
	N      string   `json:"n"`
	E      string   `json:"e"`
	KeyID  string   `json:"kid"`
	Use    string   `json:"use"`
	Alg    string   `json:"alg"`
	KeyOps []string `json:"key_ops"`
	Ext    bool     `json:"ext"`
}

// checkKey wants the one kind of key that goes with the algorithm.
func checkKey(algorithm jose.SignatureAlgorithm, key *jose.JSONWebKey) error {
	if key == nil {
		return malformed("no jwk")
	}
	switch public := key.Key.(type) {
	case *ecdsa.PublicKey:
		if algorithm == jose.ES256 && public.Curve == elliptic.P256() {
			return nil
		}
	case ed25519.PublicKey:
		if algorithm == jose.EdDSA {
			return nil
		}
	case *rsa.PublicKey:
		if algorithm != jose.PS256 && algorithm != jose.RS256 {
			break
		}
		if bits := public.N.BitLen(); bits < minRSABits || bits > maxRSABits || public.E != rsaExponent {
			return malformed("an RSA key must have %d to %d bits and the exponent %d", minRSABits, maxRSABits, rsaExponent)
		}
		return nil
	}
	return malformed("jwk is no key for alg")
}

// fingerprintOf is what the device is known by.
func fingerprintOf(key *jose.JSONWebKey) (fingerprint.Fingerprint, error) {
	thumbprint, err := key.Thumbprint(crypto.SHA256)
	if err != nil {
		return fingerprint.Fingerprint{}, ErrSignature
	}
	return fingerprint.FromThumbprint([sha256.Size]byte(thumbprint)), nil
}
