package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/procfs"

	"github.com/tegata-dev/tegata/api/history/v1alpha1"
	"github.com/tegata-dev/tegata/internal/history"
	"github.com/tegata-dev/tegata/internal/testenv"
)

const (
	// maxResident is what the server may need (docs/performance.md).
	maxResident = 150 << 20
	soon        = time.Minute
)

// server is the program, as a cluster would run it: as its service account, with the roles of config/history.
type server struct {
	*testenv.Process
	t     *testing.T
	env   *testenv.Env
	place *testenv.Aggregated
}

func start(t *testing.T, env *testenv.Env, args ...string) *server {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return startProgram(t, env, self, args...)
}

func startProgram(t *testing.T, env *testenv.Env, program string, args ...string) *server {
	t.Helper()
	for _, file := range []string{"service_account", "role", "role_binding", "reader_role"} {
		if err := testenv.Apply(t.Context(), env.Client, "tegata-system", filepath.Join("..", "..", "config", "history", file+".yaml")); err != nil {
			t.Fatal(err)
		}
	}
	place, err := env.ControlPlane.Aggregate("tegata-system", "tegata-history")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, env: env, place: place}
	s.Process = env.Start(t, testenv.Command{
		Name: "history-" + strconv.Itoa(place.Port), Path: program, Env: []string{runAs + "=history"},
		Args: append([]string{
			"--kubeconfig=" + env.Kubeconfig(t, "tegata-system", "tegata-history"), "--bind-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", place.Port),
			"--tls-cert-file=" + place.CertFile, "--tls-private-key-file=" + place.KeyFile,
		}, args...),
		Ready: func(context.Context) error { _, err := s.ask(http.MethodGet, "/readyz", nil); return err },
	})
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	if err := place.Register(ctx, env.Client, v1alpha1.GroupVersion); err != nil {
		t.Fatal(err)
	}
	return s
}

// client is the administrator's, of the server itself.
func (s *server) client() (*http.Client, error) {
	pem, err := os.ReadFile(s.place.CAFile)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	certificate, err := tls.X509KeyPair(s.env.Config.CertData, s.env.Config.KeyData)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots, Certificates: []tls.Certificate{certificate}}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}, Timeout: soon}, nil
}

func (s *server) ask(method, path string, body []byte) (string, error) {
	client, err := s.client()
	if err != nil {
		return "", err
	}
	request, err := http.NewRequestWithContext(context.Background(), method, s.place.URL+path, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	request.Header.Set("Content-Type", history.MediaType)
	if method == http.MethodPost {
		request.Header.Set("Content-Encoding", "gzip")
	}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", response.Status, text)
	}
	return string(text), err
}

// batch is records of consecutive seconds from a number on, of a hundred users.
func batch(t *testing.T, from, n int) []byte {
	t.Helper()
	var packed bytes.Buffer
	writer := gzip.NewWriter(&packed)
	began := time.Now().Add(-48 * time.Hour).Truncate(time.Hour)
	for i := range n {
		at := began.Add(time.Duration(from+i) * time.Second)
		id := ulid.ULID{6: 1}
		_ = id.SetTime(ulid.Timestamp(at))
		b, err := history.Append(nil, &history.Record{
			ID: id, User: fmt.Sprintf("user%02d", (from+i)%100), UserName: "Taro", Program: "viewer", Viewer: "pc", Slot: "pc", Result: history.Success,
			Expire: history.At(at.Add(time.Hour)), End: history.Logout, EndTime: history.At(at.Add(time.Minute)), SourceAddress: "192.0.2.7",
			MACAddress: "00:00:5e:00:53:01", Destination: "desk-7", Listener: "login", Sidecar: "asp1-0", DeviceDigest: "k1:" + strings.Repeat("a", 43),
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := writer.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

func (s *server) post(namespace string, body []byte) (kept int, err error) {
	text, err := s.ask(http.MethodPost, "/apis/history.tegata.dev/v1alpha1/namespaces/"+namespace+"/accesslogs/asp1/records", body)
	if err != nil {
		return 0, err
	}
	var answer struct{ Kept int }
	err = json.Unmarshal([]byte(text), &answer)
	return answer.Kept, err
}

// resident is how much memory the server has.
func (s *server) resident() uint64 {
	s.t.Helper()
	process, err := procfs.NewProc(s.PID())
	if err != nil {
		s.t.Skip(err) // no Linux
	}
	status, err := process.NewStatus()
	if err != nil {
		s.t.Fatal(err)
	}
	return status.VmHWM
}

func TestAcknowledgedRecordsOutliveAKill(t *testing.T) {
	env := testenv.Shared(t)
	ns, dir := env.Namespace(t), t.TempDir()
	s := start(t, env, "--sqlite-dir="+dir)
	acknowledged := 0
	killed := make(chan struct{})
	for from := 0; ; from += 100 {
		if from == 1000 {
			go func() { _ = s.Kill(); close(killed) }()
		}
		kept, err := s.post(ns, batch(t, from, 100))
		if err != nil {
			break
		}
		acknowledged += kept
	}
	<-killed
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	if err := s.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.place.Register(ctx, env.Client, v1alpha1.GroupVersion); err != nil {
		t.Fatal(err)
	}
	s.logsOnlyWhatMatters()
	out, errs, err := env.Kubectl(t, "", "get", "accessrecords", "-n", ns, "--no-headers")
	if n := strings.Count(out, "\n"); err != nil || n < acknowledged || n > acknowledged+100 {
		t.Errorf("%d records are there, %d were acknowledged; %v %s", n, acknowledged, err, errs)
	}
}

// logsOnlyWhatMatters: the library says a dozen lines of its insides at each start, which nobody can do anything about.
func (s *server) logsOnlyWhatMatters() {
	s.t.Helper()
	log, err := os.ReadFile(s.LogPath())
	if err != nil {
		s.t.Fatal(err)
	}
	for line := range strings.Lines(string(log)) {
		if strings.Contains(line, `"level":"info"`) && strings.Contains(line, `"logger":"history.apiserver"`) {
			s.t.Errorf("logged is %s", line)
		}
	}
	if !strings.Contains(string(log), `"msg":"Serving the access history"`) {
		s.t.Errorf("it does not say that it serves:\n%s", log)
	}
}

// TestMemory has the server take and show ten thousand records, and many clients at a time. It is the program as it
// is shipped: the race detector takes several times the memory.
func TestMemory(t *testing.T) {
	env := testenv.Shared(t)
	ns := env.Namespace(t)
	s := startProgram(t, env, testenv.Program(t, "history"), "--sqlite-dir="+t.TempDir())
	idle := s.resident()
	const n = 10000
	for from := 0; from < n; from += 1000 {
		if kept, err := s.post(ns, batch(t, from, 1000)); err != nil || kept != 1000 {
			t.Fatalf("kept %d, %v", kept, err)
		}
	}
	taken := s.resident()
	out, errs, err := env.Kubectl(t, "", "get", "accessrecords", "-n", ns, "--no-headers")
	if lines := strings.Count(out, "\n"); err != nil || lines != n {
		t.Fatalf("%d lines, %v %s", lines, err, errs)
	}
	shown := s.resident()
	answers := make(chan error)
	const clients = 20
	for range clients {
		go func() {
			_, err := s.ask(http.MethodGet, "/apis/history.tegata.dev/v1alpha1/namespaces/"+ns+"/accessrecords", nil)
			answers <- err
		}()
	}
	for range clients {
		if err := <-answers; err != nil {
			t.Error(err)
		}
	}
	t.Logf("resident: %d MiB at first, %d after %d records, %d after a list of them, %d after %d unlimited lists at a time",
		idle>>20, taken>>20, n, shown>>20, s.resident()>>20, clients)
	if most := s.resident(); most > maxResident {
		t.Errorf("it has needed %d MiB, and may need %d", most>>20, maxResident>>20)
	}
}
