package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
)

// patience is how long a test waits for what is sure to happen.
const patience = 30 * time.Second

// certificateFiles writes a certificate for 127.0.0.1 with its key.
func certificateFiles(t *testing.T, dir, name string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	writeFile(t, cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	writeFile(t, key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
	return cert, key
}

func writeFile(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// start runs a function of serve.go until the test ends.
func start(t *testing.T, run func(context.Context) error) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// freeAddress is one on which nothing listens at present.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // it is to be free
	return l.Addr().String()
}

func eventually(t *testing.T, check func() error) {
	t.Helper()
	var err error
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); time.Now().Before(end); <-tick.C {
		if err = check(); err == nil {
			return
		}
	}
	t.Fatal(err)
}

func logins(t *testing.T, o *options) {
	t.Helper()
	o.maxConnections = 16
	hello := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") })
	start(t, func(ctx context.Context) error { return serveLogins(ctx, o, hello, logr.Discard()) })
}

// servedName is the common name of the certificate that is served.
func servedName(address string, config *tls.Config) (string, error) {
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: patience}, "tcp", address, config)
	if err != nil {
		return "", err
	}
	defer conn.Close() //nolint:errcheck // the handshake is all that matters
	return conn.ConnectionState().PeerCertificates[0].Subject.CommonName, nil
}

type wrongNameError string

func (e wrongNameError) Error() string { return "served the certificate of " + string(e) }

func expectName(address, want string) func() error {
	return func() error {
		//nolint:gosec // the test looks at which certificate comes, not whether to trust it
		got, err := servedName(address, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12})
		if err == nil && got != want {
			return wrongNameError(got)
		}
		return err
	}
}

func TestReplacedCertificateIsServed(t *testing.T) {
	for name, replace := range map[string]func(t *testing.T, dir string){
		"overwritten": func(t *testing.T, dir string) {
			certificateFiles(t, dir, "new")
		},
		"renamed into place": func(t *testing.T, dir string) {
			next := t.TempDir()
			for i, from := range both(certificateFiles(t, next, "new")) {
				if err := os.Rename(from, filepath.Join(dir, []string{"tls.crt", "tls.key"}[i])); err != nil {
					t.Fatal(err)
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir, address := t.TempDir(), freeAddress(t)
			cert, key := certificateFiles(t, dir, "old")
			logins(t, &options{loginAddress: address, tlsCert: cert, tlsKey: key})
			eventually(t, expectName(address, "old"))
			replace(t, dir)
			eventually(t, expectName(address, "new"))
		})
	}
}

func both(a, b string) []string { return []string{a, b} }

// TestCertificateOfAMountedSecretIsReplaced moves files as the kubelet does: tls.crt is a link to
// ..data/tls.crt, and ..data a link that is turned to another directory.
func TestCertificateOfAMountedSecretIsReplaced(t *testing.T) {
	dir, address := t.TempDir(), freeAddress(t)
	mount := func(version, name string) {
		if err := os.Mkdir(filepath.Join(dir, version), 0o700); err != nil {
			t.Fatal(err)
		}
		certificateFiles(t, filepath.Join(dir, version), name)
		link(t, version, filepath.Join(dir, "..data_tmp"))
		if err := os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	mount("..1", "old")
	cert, key := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	link(t, "..data/tls.crt", cert)
	link(t, "..data/tls.key", key)
	logins(t, &options{loginAddress: address, tlsCert: cert, tlsKey: key})
	eventually(t, expectName(address, "old"))
	mount("..2", "new")
	if err := os.RemoveAll(filepath.Join(dir, "..1")); err != nil {
		t.Fatal(err)
	}
	eventually(t, expectName(address, "new"))
}

func link(t *testing.T, to, name string) {
	t.Helper()
	if err := os.Symlink(to, name); err != nil {
		t.Fatal(err)
	}
}

func TestTLSVersions(t *testing.T) {
	address := freeAddress(t)
	cert, key := certificateFiles(t, t.TempDir(), "relay")
	logins(t, &options{loginAddress: address, tlsCert: cert, tlsKey: key})
	eventually(t, expectName(address, "relay"))
	for name, tc := range map[string]struct {
		version uint16
		want    bool
	}{
		"1.0": {tls.VersionTLS10, false},
		"1.1": {tls.VersionTLS11, false},
		"1.2": {tls.VersionTLS12, true},
		"1.3": {tls.VersionTLS13, true},
	} {
		t.Run(name, func(t *testing.T) {
			//nolint:gosec // it is the server that must refuse
			_, err := servedName(address, &tls.Config{InsecureSkipVerify: true, MinVersion: tc.version, MaxVersion: tc.version})
			if (err == nil) != tc.want {
				t.Errorf("handshake: %v", err)
			}
			if err != nil && !strings.Contains(err.Error(), "remote error") {
				t.Errorf("it was not the server that refused: %v", err)
			}
		})
	}
}

func TestLoginsDoNotStart(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close() //nolint:errcheck // the test is over
	for name, tc := range map[string]struct {
		options options
		want    string
	}{
		"address in use":      {options{loginAddress: taken.Addr().String()}, "listen for logins: listen tcp " + taken.Addr().String() + ": bind: address already in use"},
		"certificate missing": {options{loginAddress: "127.0.0.1:0", tlsCert: "/none", tlsKey: "/none"}, "read TLS certificate: open /none: no such file or directory"},
	} {
		t.Run(name, func(t *testing.T) {
			err := serveLogins(t.Context(), &tc.options, http.NotFoundHandler(), logr.Discard())
			if err == nil || err.Error() != tc.want {
				t.Errorf("got %v, want %s", err, tc.want)
			}
		})
	}
}

type fresh bool

func (f fresh) Fresh() bool { return bool(f) }

func TestProbes(t *testing.T) {
	read := make(chan struct{})
	close(read)
	for name, tc := range map[string]struct {
		path     string
		ready    <-chan struct{}
		lease    fresh
		wantCode int
		wantBody string
	}{
		"alive from the start":          {"/healthz", nil, false, 200, "ok\n"},
		"not ready from the start":      {"/readyz", nil, true, 503, "users are not read yet\n"},
		"ready":                         {"/readyz", read, true, 200, "ok\n"},
		"not ready without a Lease":     {"/readyz", read, false, 503, "the Lease does not hold: nobody is admitted\n"},
		"alive without a Lease":         {"/healthz", read, false, 200, "ok\n"},
		"logins are answered elsewhere": {"/v1/login", read, true, 404, "404 page not found\n"},
		"no profiles":                   {"/debug/pprof/", read, true, 404, "404 page not found\n"},
	} {
		t.Run(name, func(t *testing.T) {
			w := httptest.NewRecorder()
			probes(prometheus.NewRegistry(), tc.ready, tc.lease).ServeHTTP(w, httptest.NewRequest(http.MethodGet, tc.path, http.NoBody))
			if w.Code != tc.wantCode || w.Body.String() != tc.wantBody {
				t.Errorf("%d %q, want %d %q", w.Code, w.Body, tc.wantCode, tc.wantBody)
			}
		})
	}
}

func TestProbesAreServedUntilTheEnd(t *testing.T) {
	address := freeAddress(t)
	t.Run("serving", func(t *testing.T) {
		start(t, func(ctx context.Context) error {
			return serveProbes(ctx, &options{probeAddress: address}, prometheus.NewRegistry(), nil, fresh(true), logr.Discard())
		})
		eventually(t, func() error { return get("http://" + address + "/healthz") })
	})
	if err := get("http://" + address + "/healthz"); err == nil {
		t.Error("still served")
	}
}

func get(url string) error {
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport, Timeout: patience}).Get(url)
	if err != nil {
		return err
	}
	return response.Body.Close()
}

func TestProbesCanBeLeftOut(t *testing.T) {
	if err := serveProbes(t.Context(), &options{probeAddress: "0"}, nil, nil, nil, logr.Discard()); err != nil {
		t.Error(err)
	}
}

func TestProbesDoNotStart(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close() //nolint:errcheck // the test is over
	o := &options{probeAddress: taken.Addr().String()}
	if err := serveProbes(t.Context(), o, prometheus.NewRegistry(), nil, fresh(true), logr.Discard()); err == nil {
		t.Error("an address in use is no error")
	}
}
