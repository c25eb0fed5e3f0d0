package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tegata-dev/tegata/internal/authn"
	"github.com/tegata-dev/tegata/internal/decision"
	"github.com/tegata-dev/tegata/internal/fingerprint"
	"github.com/tegata-dev/tegata/internal/listener/login"
)

const host = "asp1.example.com"

// relay denies everybody, and notes how devices were known to it.
type relay struct {
	mu    sync.Mutex
	known []fingerprint.Kind
	users []string
}

func (r *relay) Check(_ context.Context, a *authn.Attempt) authn.Result {
	r.mu.Lock()
	defer r.mu.Unlock()
	kind := fingerprint.Kind("none")
	if a.Fingerprint != nil && (a.Proven == nil || a.Proven() == nil) {
		kind = a.Fingerprint.Kind()
	}
	r.known, r.users = append(r.known, kind), append(r.users, a.UserName+":"+string(a.Password))
	return authn.Result{Outcome: decision.Outcome{Verdict: decision.Deny, Reason: decision.UnknownUser}}
}

func (r *relay) EndSession(string, string) bool { return false }
func (r *relay) Denial() authn.Denial           { return authn.Denial{Code: 293, ResponseTime: time.Millisecond} }
func (r *relay) Policy() *authn.Policy          { return &authn.Policy{Host: host} }

// serve serves the real login listener over TLS, and is asked for by the flags.
func (r *relay) serve(t *testing.T) (flags []string) {
	t.Helper()
	s := httptest.NewUnstartedServer(login.NewHandler(r))
	s.TLS = &tls.Config{ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12}
	s.StartTLS()
	t.Cleanup(s.Close)
	trusted := filepath.Join(t.TempDir(), "trusted.pem")
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(trusted, certificate, 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{"--sidecar=" + s.URL, "--trust=" + trusted}
}

func TestDeviceIsKnownByItsKey(t *testing.T) {
	for name, tc := range map[string]struct {
		flags []string
		want  fingerprint.Kind
	}{
		"by proof":             {[]string{"--host=" + host}, fingerprint.Proof},
		"of a PC":              {[]string{"--host=" + host, "--viewer=pc"}, fingerprint.Proof},
		"by certificate":       {[]string{"--certificate"}, fingerprint.Certificate},
		"to another relay":     {[]string{"--host=asp2.example.com"}, "none"},
		"with headers, in ja ": {[]string{"--host=" + host, "--include", "--language=ja"}, fingerprint.Proof},
	} {
		t.Run(name, func(t *testing.T) {
			r := &relay{}
			flags := append(r.serve(t), "--key="+filepath.Join(t.TempDir(), "key.pem"), "--user=taro")
			for range 2 { // with the key that was made, and again with the key that was kept
				var out bytes.Buffer
				if err := run(t.Context(), append(flags, tc.flags...), strings.NewReader("correct-horse\n"), &out); err != nil {
					t.Fatal(err)
				}
				if !strings.HasSuffix(out.String(), "HTTP 401\n") {
					t.Errorf("printed %s", &out)
				}
				if headers := strings.Contains(out.String(), "Content-Language: ja"); headers != strings.Contains(name, "headers") {
					t.Errorf("printed %s", &out)
				}
			}
			if len(r.known) != 2 || r.known[0] != tc.want || r.known[1] != tc.want || r.users[0] != "taro:correct-horse" {
				t.Errorf("known by %v as %v, want %s", r.known, r.users, tc.want)
			}
		})
	}
}

func TestKeyIsKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key.pem")
	thumbprint := func() string {
		var out bytes.Buffer
		if err := run(t.Context(), []string{"--key=" + path, "--thumbprint"}, http.NoBody, &out); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	first := thumbprint()
	if len(first) != 44 || thumbprint() != first {
		t.Errorf("thumbprints %q and %q", first, thumbprint())
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key's file: %v, %v", info.Mode(), err)
	}
}

func TestWhatIsWrongIsTold(t *testing.T) {
	broken := filepath.Join(t.TempDir(), "broken.pem")
	if err := os.WriteFile(broken, []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	key := "--key=" + filepath.Join(t.TempDir(), "key.pem")
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"no key":        {nil, "--key is required"},
		"no sidecar":    {[]string{key}, "--sidecar, --user and --host are required"},
		"no host":       {[]string{key, "--sidecar=http://127.0.0.1:1", "--user=taro"}, "--sidecar, --user and --host are required"},
		"a broken key":  {[]string{"--key=" + broken, "--thumbprint"}, broken + " holds no PEM"},
		"nobody there":  {[]string{key, "--sidecar=http://127.0.0.1:1", "--user=taro", "--host=h"}, "connection refused"},
		"trust in none": {[]string{key, "--sidecar=http://127.0.0.1:1", "--user=taro", "--host=h", "--trust=" + broken}, broken + " holds no certificate"},
		"an argument":   {[]string{key, "taro"}, `unexpected argument "taro"`},
	} {
		t.Run(name, func(t *testing.T) {
			err := run(t.Context(), tc.args, strings.NewReader("pw"), &bytes.Buffer{})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want %s", err, tc.want)
			}
		})
	}
}
