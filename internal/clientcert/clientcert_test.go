package clientcert

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/tegata-dev/tegata/internal/fingerprint"
)

func newCertificate(t *testing.T, from, until time.Time) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: from, NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

func asPEM(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func TestForwarded(t *testing.T) {
	now := time.Now()
	good := newCertificate(t, now.Add(-time.Hour), now.Add(time.Hour))
	ended := newCertificate(t, now.Add(-time.Hour), now.Add(-time.Minute))
	early := newCertificate(t, now.Add(time.Minute), now.Add(time.Hour))
	der := base64.StdEncoding.EncodeToString(good.Raw)
	for name, tc := range map[string]struct {
		told string
		want error
	}{
		"nginx":                {told: strings.ReplaceAll(url.QueryEscape(asPEM("CERTIFICATE", good.Raw)), "+", "%20")},
		"PEM as it is":         {told: asPEM("CERTIFICATE", good.Raw)},
		"Caddy":                {told: der},
		"Traefik":              {told: url.QueryEscape(der)},
		"Traefik, a chain":     {told: der + "," + base64.StdEncoding.EncodeToString(ended.Raw)},
		"over":                 {told: asPEM("CERTIFICATE", ended.Raw), want: ErrTime},
		"not yet":              {told: asPEM("CERTIFICATE", early.Raw), want: ErrTime},
		"nothing":              {told: "", want: ErrMalformed},
		"a key":                {told: asPEM("PRIVATE KEY", good.Raw), want: ErrMalformed},
		"half of it":           {told: der[:len(der)/2], want: ErrMalformed},
		"PEM without an end":   {told: "-----BEGIN CERTIFICATE-----\nMIIB", want: ErrMalformed},
		"no URL encoding":      {told: "%zz", want: ErrMalformed},
		"no certificate in it": {told: asPEM("CERTIFICATE", []byte("text")), want: ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Forwarded(tc.told)
			if !errors.Is(err, tc.want) {
				t.Fatalf("error %v, want %v", err, tc.want)
			}
			want := fingerprint.Fingerprint{}
			if tc.want == nil {
				want = fingerprint.FromPublicKey(sha256.Sum256(good.RawSubjectPublicKeyInfo))
			}
			if digestOf(t, got) != digestOf(t, want) {
				t.Error("it is another device's")
			}
		})
	}
}

// digestOf tells fingerprints apart; empty for none.
func digestOf(t *testing.T, f fingerprint.Fingerprint) string {
	t.Helper()
	if f.Kind() == "" {
		return ""
	}
	return string(keyring.Device(f).Digests[0])
}

var keyring = func() *fingerprint.Keyring {
	ring, err := fingerprint.ParseKeyring(fingerprint.NewSecretData())
	if err != nil {
		panic(err)
	}
	return ring
}()
