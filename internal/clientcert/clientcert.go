// Package clientcert makes a device's fingerprint of its client certificate.
//
// It owns the spellings in which gateways forward a certificate. It must not decide whether one is believed: who sees
// no handshake has to know that a trusted proxy did.
package clientcert

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/tegata-dev/tegata/internal/fingerprint"
)

var (
	// ErrTime says that a certificate is not valid now: a connection may be older than its end, and a gateway may
	// have asked for no more than that there is one.
	ErrTime = errors.New("the client certificate is not valid at this time")
	// ErrMalformed is about certificates that gateways forward.
	ErrMalformed = errors.New("the certificate that the gateway tells cannot be read")
)

// Fingerprint is that of a certificate's public key. Its error is ErrTime.
func Fingerprint(c *x509.Certificate) (fingerprint.Fingerprint, error) {
	if now := time.Now(); now.Before(c.NotBefore) || now.After(c.NotAfter) {
		return fingerprint.Fingerprint{}, ErrTime
	}
	return fingerprint.FromPublicKey(sha256.Sum256(c.RawSubjectPublicKeyInfo)), nil
}

// Forwarded is the fingerprint of a certificate as a gateway forwards it. Its error is ErrMalformed or ErrTime.
func Forwarded(told string) (fingerprint.Fingerprint, error) {
	der, err := decode(told)
	if err != nil {
		return fingerprint.Fingerprint{}, ErrMalformed
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return fingerprint.Fingerprint{}, ErrMalformed
	}
	return Fingerprint(certificate)
}

// decode reads what gateways write: PEM, URL-encoded (nginx, Envoy), or the base64 of DER (Caddy), which Traefik
// URL-encodes and may have the chain follow after a comma.
func decode(told string) ([]byte, error) {
	// Of a plus sign, which base64 has, QueryUnescape would make a space.
	text, err := url.PathUnescape(told)
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(text, "-----BEGIN ") {
		block, _ := pem.Decode([]byte(text))
		if block == nil || block.Type != "CERTIFICATE" {
			return nil, ErrMalformed
		}
		return block.Bytes, nil
	}
	leaf, _, _ := strings.Cut(text, ",")
	return base64.StdEncoding.DecodeString(leaf)
}
