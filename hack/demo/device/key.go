package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// proofType is a proof's typ; docs/devices.md.
const proofType = "tegata-device+jwt"

// deviceKey is a device's private key: P-256, as Secure Enclave, Android Keystore and TPM have it.
type deviceKey struct{ *ecdsa.PrivateKey }

// openKey reads a key, or makes one that its owner alone may read.
func openKey(path string) (deviceKey, error) {
	encoded, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return makeKey(path)
	}
	if err != nil {
		return deviceKey{}, fmt.Errorf("read the key: %w", err)
	}
	block, _ := pem.Decode(encoded)
	if block == nil {
		return deviceKey{}, fmt.Errorf("%s holds no PEM", path)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return deviceKey{}, fmt.Errorf("parse the key: %w", err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || key.Curve != elliptic.P256() {
		return deviceKey{}, fmt.Errorf("%s holds no P-256 key", path)
	}
	return deviceKey{key}, nil
}

func makeKey(path string) (_ deviceKey, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return deviceKey{}, fmt.Errorf("make a key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return deviceKey{}, fmt.Errorf("encode the key: %w", err)
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return deviceKey{}, fmt.Errorf("keep the key: %w", err)
	}
	err = errors.Join(pem.Encode(file, &pem.Block{Type: "PRIVATE KEY", Bytes: der}), file.Close())
	return deviceKey{key}, err
}

// prove signs a challenge for one login.
func (k deviceKey) prove(nonce, host, user, viewer string) (string, error) {
	payload, err := json.Marshal(map[string]any{
		"nonce": nonce, "aud": host, "sub": user, "viewer": viewer, "iat": time.Now().Unix(),
	})
	if err != nil {
		return "", fmt.Errorf("encode a proof: %w", err)
	}
	options := (&jose.SignerOptions{EmbedJWK: true}).WithType(proofType)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: k.PrivateKey}, options)
	if err != nil {
		return "", fmt.Errorf("sign: %w", err)
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("sign: %w", err)
	}
	return jws.CompactSerialize()
}

// certificate is one that the key has issued for itself. The sidecar looks at the key alone, unless it was
// told which issuers to trust.
func (k deviceKey) certificate() (tls.Certificate, error) {
	const day = 24 * time.Hour
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "device"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(day),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, k.Public(), k.PrivateKey)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make a certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: k.PrivateKey}, nil
}

// printThumbprint prints what tells one public key from all others. It is no secret.
func (k deviceKey) printThumbprint(out io.Writer) error {
	thumbprint, err := (&jose.JSONWebKey{Key: k.Public()}).Thumbprint(crypto.SHA256)
	if err != nil {
		return fmt.Errorf("thumbprint: %w", err)
	}
	_, err = fmt.Fprintln(out, base64.RawURLEncoding.EncodeToString(thumbprint))
	return err
}
