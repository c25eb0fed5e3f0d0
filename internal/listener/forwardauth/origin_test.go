package forwardauth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tegata-dev/tegata/internal/fingerprint"
	"github.com/tegata-dev/tegata/internal/listenertest"
)

func TestSources(t *testing.T) {
	const proxy, other = "10.0.0.1:1234", "203.0.113.9:1234"
	for name, tc := range map[string]struct {
		peer    string
		headers []string
		want    string
	}{
		"told by the proxy":          {proxy, []string{"X-Forwarded-For: 198.51.100.7"}, "198.51.100.7"},
		"what the client wrote":      {proxy, []string{"X-Forwarded-For: 192.0.2.1, 198.51.100.7"}, "198.51.100.7"},
		"in a header of its own":     {proxy, []string{"X-Forwarded-For: 192.0.2.1", "X-Forwarded-For: 198.51.100.7"}, "198.51.100.7"},
		"not told by the proxy":      {proxy, nil, "10.0.0.1"},
		"an unreadable hop":          {proxy, []string{"X-Forwarded-For: unknown"}, "invalid IP"},
		"from nobody's proxy":        {other, []string{"X-Forwarded-For: 198.51.100.7"}, "203.0.113.9"},
		"headers that are not read":  {proxy, []string{"Forwarded: for=198.51.100.7", "X-Real-Ip: 198.51.100.7", "X-Tegata-Source: 198.51.100.7"}, "10.0.0.1"},
		"a connection without place": {"@", []string{"X-Forwarded-For: 198.51.100.7"}, "invalid IP"},
	} {
		t.Run(name, func(t *testing.T) {
			s := listenertest.Admitting().Trusting("10.0.0.0/8")
			h := newHandler(s)
			for _, r := range []*http.Request{toAuth("Authorization: Bearer x"), toAuth(basicHeader), newLogin(goodBody)} {
				r.RemoteAddr = tc.peer
				ask(h, with(r, tc.headers...))
			}
			got := []netip.Addr{s.Sessions()[0].Source, s.Logins()[0].Source, s.Logins()[1].Source}
			for _, source := range got {
				if source.String() != tc.want {
					t.Errorf("sources %v, want %s", got, tc.want)
				}
			}
		})
	}
}

// newCertificate is a device's, in DER.
func newCertificate(t testing.TB, from, to time.Time) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: from, NotAfter: to}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestCertificates(t *testing.T) {
	const proxy, other = "10.0.0.1:1234", "203.0.113.9:1234"
	now := time.Now()
	der := newCertificate(t, now.Add(-time.Hour), now.Add(time.Hour))
	inPEM := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	inBase64 := base64.StdEncoding.EncodeToString(der)
	nginx := strings.ReplaceAll(url.QueryEscape(inPEM), "+", "%20")
	key := url.PathEscape(string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	for name, tc := range map[string]struct {
		peer       string
		told       []string
		wantKind   fingerprint.Kind
		wantStatus int
	}{
		"nginx":                       {proxy, []string{nginx}, fingerprint.Certificate, 200},
		"PEM with plus signs as such": {proxy, []string{strings.ReplaceAll(nginx, "%2B", "+")}, fingerprint.Certificate, 200},
		"Caddy":                       {proxy, []string{inBase64}, fingerprint.Certificate, 200},
		"Traefik":                     {proxy, []string{url.QueryEscape(inBase64)}, fingerprint.Certificate, 200},
		"Traefik with a chain":        {proxy, []string{url.QueryEscape(inBase64) + "," + url.QueryEscape(inBase64)}, fingerprint.Certificate, 200},
		"none":                        {proxy, nil, fingerprint.Opaque, 200},
		"an empty one":                {proxy, []string{""}, fingerprint.Opaque, 200},
		"forged":                      {other, []string{nginx}, fingerprint.Opaque, 200},
		"forged beside the proxy's":   {proxy, []string{nginx, nginx}, "", 400},
		"garbage":                     {proxy, []string{secret}, "", 400},
		"a bad escape":                {proxy, []string{"%zz"}, "", 400},
		"half":                        {proxy, []string{nginx[:100]}, "", 400},
		"a key":                       {proxy, []string{key}, "", 400},
		"expired":                     {proxy, []string{base64.StdEncoding.EncodeToString(newCertificate(t, now.Add(-2*time.Hour), now.Add(-time.Hour)))}, "", 400},
		"not yet valid":               {proxy, []string{base64.StdEncoding.EncodeToString(newCertificate(t, now.Add(time.Hour), now.Add(2*time.Hour)))}, "", 400},
	} {
		t.Run(name, func(t *testing.T) {
			s := listenertest.Admitting().Trusting("10.0.0.0/8")
			h := newHandler(s)
			for _, r := range []*http.Request{toAuth(basicHeader, "X-Tegata-Device: aaaaaaaa"), newLogin(goodBody)} {
				r.RemoteAddr = tc.peer
				r.Header["X-Tegata-Client-Cert"] = tc.told
				w := ask(h, r)
				if w.Code != tc.wantStatus || strings.Contains(w.Body.String(), secret) {
					t.Errorf("%s: %d %s", r.URL.Path, w.Code, w.Body)
				}
			}
			for _, a := range s.Logins() {
				if a.Fingerprint.Kind() != tc.wantKind {
					t.Errorf("kind %s, want %s", a.Fingerprint.Kind(), tc.wantKind)
				}
			}
			if n := len(s.Logins()); (n == 2) != (tc.wantStatus == 200) || n == 1 {
				t.Errorf("%d logins", n)
			}
		})
	}
}

func TestNoCertificateIsBelievedUnlessAskedFor(t *testing.T) {
	now := time.Now()
	told := base64.StdEncoding.EncodeToString(newCertificate(t, now.Add(-time.Hour), now.Add(time.Hour)))
	s := listenertest.Admitting().Trusting("192.0.2.0/24") // of httptest's requests
	h := NewHandler(s, Options{MaxWaiting: 1, Metrics: NewMetrics(prometheus.NewRegistry())})
	ask(h, toAuth(basicHeader, "X-Tegata-Client-Cert: "+told))
	if f := s.Logins()[0].Fingerprint; f != nil {
		t.Errorf("believed: %v", f.Kind())
	}
}
