package recorder

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestOptionsThatAreRefused(t *testing.T) {
	s := newServer(t)
	for name, change := range map[string]func(o *ClientOptions){
		"no address":       func(o *ClientOptions) { o.Address = "" },
		"in the clear":     func(o *ClientOptions) { o.Address = "http://history" },
		"with a password":  func(o *ClientOptions) { o.Address = "https://a:hunter2@history" },
		"with a query":     func(o *ClientOptions) { o.Address = "https://history?a=b" },
		"no authorities":   func(o *ClientOptions) { o.CAFile = "/nonexistent" },
		"no PEM":           func(o *ClientOptions) { o.CAFile = o.TokenFile },
		"no token":         func(o *ClientOptions) { o.TokenFile = "/nonexistent" },
		"token of 2 lines": func(o *ClientOptions) { write(t, o.TokenFile, []byte(secret+"\n"+secret)) },
		"empty token":      func(o *ClientOptions) { write(t, o.TokenFile, nil) },
		"no certificate":   func(o *ClientOptions) { o.CertFile, o.KeyFile = o.CAFile, o.CAFile },
	} {
		t.Run(name, func(t *testing.T) {
			o := s.files()
			change(&o)
			_, err := NewClient(o)
			if err == nil || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), secret) {
				t.Errorf("error %v", err)
			}
		})
	}
}

func send(t *testing.T, c *Client) error {
	t.Helper()
	_, err := c.Send(t.Context(), nil)
	return err
}

// TestFilesAreReadAgain: tokens and certificates are replaced before they run out, while connections stay open.
func TestFilesAreReadAgain(t *testing.T) {
	s := newServer(t)
	o := s.files()
	c, err := NewClient(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if err := send(t, c); err != nil {
		t.Fatal(err)
	}
	write(t, o.TokenFile, []byte("another"))
	if err := send(t, c); err != nil || s.tokens[1] != "Bearer another" {
		t.Errorf("%v, sent with %q", err, s.tokens)
	}
	if err := os.Remove(o.TokenFile); err != nil {
		t.Fatal(err)
	}
	if err := send(t, c); err == nil || len(s.tokens) != 2 {
		t.Errorf("without its token: %v", err)
	}
	write(t, o.TokenFile, []byte("third"))
	if err := send(t, c); err != nil || s.tokens[2] != "Bearer third" {
		t.Errorf("%v, sent with %q", err, s.tokens)
	}

	good, err := os.ReadFile(o.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	_, other := pair(t, t.TempDir(), "other")
	c.Close()
	write(t, o.CAFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: other}))
	if err := send(t, c); err == nil || len(s.tokens) != 3 {
		t.Errorf("to a server of unknown authorities: %v", err)
	}
	write(t, o.CAFile, good)
	if err := send(t, c); err != nil {
		t.Error(err)
	}
}

// pair writes a certificate and its key, and returns their names without ending, and the certificate.
func pair(t *testing.T, dir, name string) (base string, der []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	if der, err = x509.CreateCertificate(rand.Reader, template, template, key.Public(), key); err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	base = filepath.Join(dir, "tls")
	write(t, base+".crt", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	write(t, base+".key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
	return base, der
}

// TestClientCertificate: one that was replaced is shown after the server has refused the old one.
func TestClientCertificate(t *testing.T) {
	s := newServer(t)
	s.TLS.ClientAuth = tls.RequestClientCert
	var shown []string
	s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := r.TLS.PeerCertificates[0].Subject.CommonName
		shown = append(shown, name)
		if name == "old" && len(shown) > 1 {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = w.Write([]byte(`{"kept":0}`))
	})
	dir := t.TempDir()
	base, _ := pair(t, dir, "old")
	o := s.files()
	o.TokenFile, o.CertFile, o.KeyFile = "", base+".crt", base+".key"
	c, err := NewClient(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if err := send(t, c); err != nil {
		t.Fatal(err)
	}
	pair(t, dir, "new")
	refused := (*SendError)(nil)
	if err := send(t, c); !errors.As(err, &refused) || refused.Status != http.StatusUnauthorized {
		t.Errorf("error %v", err)
	}
	if err := send(t, c); err != nil || shown[2] != "new" {
		t.Errorf("%v, shown %q", err, shown)
	}
}

func TestBackoff(t *testing.T) {
	for failures := 1; failures < 100; failures++ {
		most := min(maxBackoff, minBackoff<<min(failures-1, 10))
		for range 20 {
			if got := backoff(failures, errors.New("x"), maxBackoff); got < most/2 || got > most {
				t.Fatalf("after %d failures %s, want between %s and %s", failures, got, most/2, most)
			}
		}
	}
	for header, want := range map[string]time.Duration{
		"7": 7 * time.Second, "65535": 18*time.Hour + 12*time.Minute + 15*time.Second, "70000": 0, "-1": 0, "": 0, "soon": 0,
		"Wed, 21 Oct 2026 07:28:00 GMT": 0,
	} {
		if got := retryAfter(http.Header{"Retry-After": {header}}); got != want {
			t.Errorf("%q is %s, want %s", header, got, want)
		}
	}
	if got := backoff(1, &SendError{After: 7 * time.Second}, maxBackoff); got != 7*time.Second {
		t.Errorf("asked for 7s, waits %s", got)
	}
	if got := backoff(1, &SendError{After: 18 * time.Hour}, maxBackoff); got != maxRetryAfter {
		t.Errorf("asked for a day, waits %s", got)
	}
}

// TestSlowServer is given up after a while.
func TestSlowServer(t *testing.T) {
	s := newServer(t)
	gone := make(chan struct{})
	s.Config.Handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = r.Body.Read(make([]byte, 1<<10))
		<-r.Context().Done()
		close(gone)
	})
	c := s.client()
	c.timeout = 100 * time.Millisecond
	if err := send(t, c); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	<-gone
}
