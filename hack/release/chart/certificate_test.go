package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"testing"
	"time"
)

// TestGeneratedCertificate: whoever trusts what the APIService and relays are given knows the Service by it, in whatever
// namespace, for years, and the authority's key is nowhere.
func TestGeneratedCertificate(t *testing.T) {
	for _, space := range []string{namespace, "elsewhere"} {
		all := helmed(t, withHistory, space, newest)
		data, _ := all["Secret "+space+"/tegata-history-tls"]["data"].(map[string]any)
		if len(data) != 3 {
			t.Errorf("the Secret has %d entries", len(data))
		}
		decode := func(name string) []byte {
			text, _ := data[name].(string)
			decoded, err := base64.StdEncoding.DecodeString(text)
			if err != nil {
				t.Fatal(err)
			}
			return decoded
		}
		pair, err := tls.X509KeyPair(decode("tls.crt"), decode("tls.key"))
		if err != nil {
			t.Fatal(err)
		}
		trusted := x509.NewCertPool()
		if !trusted.AppendCertsFromPEM(decode("ca.crt")) {
			t.Fatal("ca.crt holds no certificate")
		}
		options := x509.VerifyOptions{
			Roots: trusted, DNSName: "tegata-history." + space + ".svc", CurrentTime: time.Now().AddDate(9, 0, 0),
		}
		if _, err := pair.Leaf.Verify(options); err != nil {
			t.Error(err)
		}
		spec, _ := all["APIService /v1alpha1.history.tegata.dev"]["spec"].(map[string]any)
		if spec["caBundle"] != data["ca.crt"] {
			t.Error("the APIService trusts another one")
		}
	}
}
