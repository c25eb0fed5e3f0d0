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
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"github.com/klauspost/compress/gzip"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tegata-dev/tegata/internal/authn"
	"github.com/tegata-dev/tegata/internal/history"
	"github.com/tegata-dev/tegata/internal/history/recorder"
	"github.com/tegata-dev/tegata/internal/history/spool"
	"github.com/tegata-dev/tegata/internal/history/witness"
	"github.com/tegata-dev/tegata/internal/listener/login"
	"github.com/tegata-dev/tegata/internal/password"
	"github.com/tegata-dev/tegata/internal/session"
)

// maxWithHistory is what a login may take with history on, by what it takes without (issue: "a login's latency and
// CPU with history on at most 1.05 of history off").
const maxWithHistory = 1.05

// turnTime is how long each server is asked before it is another's turn.
const turnTime = 600 * time.Millisecond

// Children of this measurement, each followed by @ and the directory that they share.
const (
	// childSink takes records as a history server does, and keeps none.
	childSink = "sink"
	// childHashed is the whole path of a login, with its hash.
	childHashed = "hashed"
	// childRecorded is the same, and records it: by a spool, to the sink.
	childRecorded = "recorded"
	// childUnhashedRecorded is childLogin, and records it.
	childUnhashedRecorded = "recorded-unhashed"
)

// childIn is the argument of a child that shares a directory.
func childIn(kind, dir string) string { return kind + "@" + url.PathEscape(dir) }

func isHistory(arg string) (kind, dir string, ok bool) {
	kind, escaped, found := strings.Cut(arg, "@")
	dir, err := url.PathUnescape(escaped)
	switch kind {
	case childSink, childHashed, childRecorded, childUnhashedRecorded:
		return kind, dir, found && err == nil
	}
	return "", "", false
}

func runHistory(ctx context.Context, kind, dir string) error {
	switch kind {
	case childSink:
		return runSink(ctx, dir)
	case childHashed:
		return runRecorded(ctx, password.NewVerifier(password.Options{}), nil)
	case childRecorded:
		return runRecorded(ctx, password.NewVerifier(password.Options{}), &dir)
	}
	return runRecorded(ctx, unhashed{childPassword}, &dir)
}

// runRecorded serves logins, and records them if there is a directory.
func runRecorded(ctx context.Context, v authn.Verifier, dir *string) error {
	hash, err := password.New([]byte(childPassword))
	if err != nil {
		return err
	}
	relay, err := memoryRelay(childUsers, childResponseTime, hash)
	if err != nil {
		return err
	}
	d, err := relay.read(ctx)
	if err != nil {
		return err
	}
	var told authn.History
	var observers []session.Observer
	if dir != nil {
		w, stop, err := startRecording(ctx, *dir)
		if err != nil {
			return err
		}
		defer stop()
		told, observers = w, append(observers, w)
	}
	service, _ := newRecordedService(d, v, newLogger().WithName("login"), told, observers)
	return serveUntilEOF(ctx, login.NewHandler(service))
}

// startRecording records as the shipped sidecar does.
func startRecording(ctx context.Context, dir string) (*witness.Witness, func(), error) {
	address, err := os.ReadFile(filepath.Join(dir, "address"))
	if err != nil {
		return nil, nil, err
	}
	client, err := recorder.NewClient(recorder.ClientOptions{
		Address: string(address), Namespace: benchNamespace, Server: "bench",
		CAFile: filepath.Join(dir, "ca.crt"), TokenFile: filepath.Join(dir, "token"),
	})
	if err != nil {
		return nil, nil, err
	}
	spoolDir, err := os.MkdirTemp(dir, "spool-")
	if err != nil {
		return nil, nil, err
	}
	r := recorder.New(recorder.Options{
		Spool: spool.Options{Dir: spoolDir, MaxBytes: 256 << 20}, Destination: client,
		Metrics: recorder.NewMetrics(prometheus.NewRegistry()), Log: logr.Discard(),
	})
	w := witness.New(witness.Options{Recorder: r, Sidecar: "bench", NameOf: func(string) string { return "" }, Interval: 5 * time.Minute})
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { defer close(done); r.Run(ctx) }()
	go w.Run(ctx)
	return w, func() { cancel(); <-done }, nil
}

// runSink writes what a sidecar needs to reach it, and answers until standard input ends.
func runSink(ctx context.Context, dir string) error {
	certificate, err := sinkCertificate()
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	for name, content := range map[string]string{
		"address": "https://" + l.Addr().String(), "token": "bench",
		"ca.crt": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Certificate[0]})),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			return err
		}
	}
	server := &http.Server{
		Handler: http.HandlerFunc(sink), ReadHeaderTimeout: time.Minute,
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{certificate}},
	}
	fmt.Println(l.Addr())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = server.Close()
	}()
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.ServeTLS(l, "", ""); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func sink(w http.ResponseWriter, r *http.Request) {
	unpacked, err := gzip.NewReader(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	content, err := io.ReadAll(unpacked)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	records, err := history.Decode(content)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	_, _ = fmt.Fprintf(w, `{"kept":%d}`, len(records))
}

func sinkCertificate() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bench"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

// historyTurns are what logins took by turns, a value a round, in nanoseconds: with their hash and without, recorded
// and not.
type historyTurns struct{ plain, recorded, plainTime, recordedTime, bare, bareRecorded []float64 }

// measureHistoryLogin has servers that record and servers that do not take turns.
func measureHistoryLogin(ctx context.Context, l *lab) (_ []Row, err error) {
	dir, err := os.MkdirTemp(l.dir, "history-")
	if err != nil {
		return nil, err
	}
	children := map[string]*child{}
	defer func() {
		for _, c := range children {
			err = errors.Join(err, c.stop())
		}
	}()
	for _, kind := range []string{childIn(childSink, dir), childIn(childHashed, dir), childIn(childRecorded, dir), childLogin, childIn(childUnhashedRecorded, dir)} {
		c, err := l.startChild(ctx, kind)
		if err != nil {
			return nil, err
		}
		name, _, _ := strings.Cut(kind, "@")
		children[name] = c
	}
	var got historyTurns
	for round := range scale(l, 25, 13) { // many short turns, so that what else happens strikes all alike; the first warms up
		if err := historyRound(ctx, children, round, &got); err != nil {
			return nil, err
		}
		if round == 0 {
			got = historyTurns{}
		}
	}
	return got.rows(), nil
}

func historyRound(ctx context.Context, children map[string]*child, round int, got *historyTurns) error {
	turns := []struct {
		kind       string
		clients    int
		cost, time *[]float64
	}{
		{childHashed, 1, &got.plain, &got.plainTime},
		{childRecorded, 1, &got.recorded, &got.recordedTime},
		{childLogin, 8, &got.bare, nil},
		{childUnhashedRecorded, 8, &got.bareRecorded, nil},
	}
	if round%2 == 1 { // none is always first
		turns[0], turns[1], turns[2], turns[3] = turns[1], turns[0], turns[3], turns[2]
	}
	for _, turn := range turns {
		c := children[turn.kind]
		t := newTarget(c.address, turn.clients)
		times := make([][]float64, turn.clients)
		_, cost, err := costedLoop(ctx, c.pid(), turn.clients, turnTime, func(ctx context.Context, worker, i int) error {
			n := (worker + i*turn.clients) % childUsers
			r, err := t.expect(ctx, pcLogin(userName(n), childPassword, deviceOf(n)), http.StatusOK)
			times[worker] = append(times[worker], float64(r.took))
			return err
		})
		t.close()
		if err != nil {
			return err
		}
		*turn.cost = append(*turn.cost, float64(cost))
		if turn.time != nil {
			*turn.time = append(*turn.time, median(times[0]))
		}
	}
	return nil
}

func (h *historyTurns) rows() []Row {
	return []Row{
		{What: "a login that is recorded, CPU", Unit: nanoseconds, Figure: Figure(median(h.recorded)), Floor: Figure(median(h.plain)), Bound: ratioAtMost(maxWithHistory),
			Note: "bound devices over HTTP, with the hash; recorded by a spool on disk, to a history server over TLS in another process; the floor is history off"},
		{What: "a login that is recorded, latency, 50 %", Unit: nanoseconds, Figure: Figure(median(h.recordedTime)), Floor: Figure(median(h.plainTime)), Bound: ratioAtMost(maxWithHistory)},
		{What: "a login that is recorded, beside the hash, CPU", Unit: nanoseconds, Figure: Figure(median(h.bareRecorded)), Floor: Figure(median(h.bare)),
			Note: "as fast as eight clients ask; the difference is what recording costs"},
	}
}
