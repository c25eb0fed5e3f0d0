package httpserver

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// certificate is one that clients with the pool trust for 127.0.0.1.
func certificate(t *testing.T) (*tls.Config, *x509.CertPool) {
	t.Helper()
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: s.TLS.Certificates}, pool
}

// client is one whose connections end with the test.
func client(t *testing.T, pool *x509.CertPool) *http.Client {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience}
}

func askOver(c *http.Client, url string) (answer, error) {
	response, err := c.Post(url+path, "application/json", strings.NewReader(goodBody))
	if err != nil {
		return answer{}, err
	}
	return read(response)
}

func TestStoppingAnswersWhatIsUnderWay(t *testing.T) {
	config, pool := certificate(t)
	for name, tc := range map[string]struct {
		scheme string
		tls    *tls.Config
	}{
		"HTTP/1.1": {"http://", nil},
		"HTTP/2":   {"https://", config},
	} {
		t.Run(name, func(t *testing.T) {
			arrived := make(chan struct{})
			service := &service{answer: func(context.Context, string) int {
				close(arrived)
				<-time.After(400 * time.Millisecond)
				return http.StatusUnauthorized
			}}
			s := serve(t, Options{Handler: service, TLS: tc.tls})
			type outcome struct {
				answer
				err error
			}
			c := client(t, pool)
			outcomes := make(chan outcome, 1)
			go func() {
				got, err := askOver(c, tc.scheme+s.address)
				outcomes <- outcome{got, err}
			}()
			<-arrived
			s.stop() // while the answer is held back

			got := <-outcomes
			if got.err != nil || got.status != http.StatusUnauthorized {
				t.Errorf("the request under way: %v", got)
			}
			if err := <-s.done; err != nil {
				t.Errorf("Serve: %v", err)
			}
			if conn, err := net.Dial("tcp", s.address); err == nil {
				_ = conn.Close()
				t.Error("a connection is accepted after the end")
			}
		})
	}
}

func TestStoppingDoesNotWaitForEver(t *testing.T) {
	arrived := make(chan struct{})
	service := &service{answer: func(ctx context.Context, _ string) int {
		close(arrived)
		<-ctx.Done()
		return http.StatusOK
	}}
	s := serve(t, Options{Handler: service, Timeouts: Timeouts{Drain: 50 * time.Millisecond}})
	if _, err := io.WriteString(s.dial(), post(goodBody)); err != nil {
		t.Fatal(err)
	}
	<-arrived
	s.stop()
	if err := <-s.done; !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Serve: %v, want that the time ran out", err)
	}
}

func TestServeReportsABrokenListener(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	if err := Serve(t.Context(), l, Options{Handler: &service{}, MaxConnections: 1}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve: %v, want that the listener is closed", err)
	}
}

func TestHTTP2(t *testing.T) {
	config, pool := certificate(t)
	s := serve(t, Options{Handler: &service{}, TLS: config})
	got, err := askOver(client(t, pool), "https://"+s.address)
	if err != nil {
		t.Fatal(err)
	}
	if got.proto != "HTTP/2.0" || got.status != http.StatusOK {
		t.Errorf("answered %v", got)
	}
}

func TestRequestsAreBoundedAlsoOnOneConnection(t *testing.T) {
	config, pool := certificate(t)
	arrived, release := make(chan struct{}), make(chan struct{})
	service := &service{answer: func(context.Context, string) int {
		arrived <- struct{}{}
		<-release
		return http.StatusOK
	}}
	s := serve(t, Options{Handler: service, TLS: config, MaxConnections: 1})
	c := client(t, pool)
	first := make(chan error, 1)
	go func() {
		_, err := askOver(c, "https://"+s.address)
		first <- err
	}()
	<-arrived
	got, err := askOver(c, "https://"+s.address)
	if err != nil {
		t.Fatal(err)
	}
	if got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") != "1" ||
		got.header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("answered %v", got)
	}
	close(release)
	if err := <-first; err != nil {
		t.Error(err)
	}
	if n := service.asked(); n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
}

// TestRapidReset opens and resets streams as fast as it can (CVE-2023-44487).
func TestRapidReset(t *testing.T) {
	config, pool := certificate(t)
	var running, most atomic.Int64
	service := &service{answer: func(ctx context.Context, body string) int {
		n := running.Add(1)
		defer running.Add(-1)
		for seen := most.Load(); n > seen && !most.CompareAndSwap(seen, n); {
			seen = most.Load()
		}
		if body != goodBody {
			<-ctx.Done() // until its stream is reset
		}
		return http.StatusOK
	}}
	s := serve(t, Options{Handler: service, TLS: config})
	conn, err := tls.Dial("tcp", s.address, &tls.Config{RootCAs: pool, NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // the server may have been first
	settings := make(chan []http2.Setting, 1)
	over := make(chan struct{})
	go readFrames(conn, settings, over)
	resetStreams(t, conn, 20000)

	select {
	case got := <-settings:
		assertStreamLimit(t, got)
	case <-time.After(patience):
		t.Error("no settings came")
	}
	if n := most.Load(); n > maxStreams {
		t.Errorf("%d requests at a time, want at most %d", n, maxStreams)
	}
	// Others are served meanwhile.
	if got, err := askOver(client(t, pool), "https://"+s.address); err != nil || got.status != http.StatusOK {
		t.Errorf("another connection: %v, %v", got, err)
	}
	_ = conn.Close()
	<-over
}

func readFrames(conn net.Conn, settings chan<- []http2.Setting, over chan<- struct{}) {
	defer close(over)
	framer := http2.NewFramer(io.Discard, conn)
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			return
		}
		if f, ok := frame.(*http2.SettingsFrame); ok && !f.IsAck() {
			var all []http2.Setting
			_ = f.ForeachSetting(func(s http2.Setting) error { all = append(all, s); return nil })
			settings <- all
		}
	}
}

// resetStreams stops early when the server will have no more of it.
func resetStreams(t *testing.T, conn net.Conn, n int) {
	t.Helper()
	body := []byte(strings.Replace(goodBody, "hanako", "nobody", 1))
	var header strings.Builder
	encoder := hpack.NewEncoder(&header)
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	framer := http2.NewFramer(conn, nil)
	if err := framer.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		header.Reset()
		for _, f := range [][2]string{
			{":method", "POST"}, {":scheme", "https"}, {":authority", "relay"}, {":path", path}, {"content-type", "application/json"},
		} {
			if err := encoder.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}); err != nil {
				t.Fatal(err)
			}
		}
		id := uint32(2*i + 1)
		err := errors.Join(
			framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: []byte(header.String()), EndHeaders: true}),
			framer.WriteData(id, true, body),
			framer.WriteRSTStream(id, http2.ErrCodeCancel),
		)
		if err != nil {
			return
		}
	}
}

func assertStreamLimit(t *testing.T, got []http2.Setting) {
	t.Helper()
	for _, s := range got {
		if s.ID == http2.SettingMaxConcurrentStreams {
			if s.Val != maxStreams {
				t.Errorf("announced %d streams, want %d", s.Val, maxStreams)
			}
			return
		}
	}
	t.Errorf("announced no limit of streams: %v", got)
}

func TestTroubleWithConnectionsIsLoggedButDoesNotFloodTheLog(t *testing.T) {
	config, _ := certificate(t)
	var logged logBuffer
	s := serve(t, Options{
		Handler: &service{}, TLS: config, Log: funcr.New(logged.line, funcr.Options{Verbosity: 1}),
	})
	const failures = 40
	for range failures {
		_ = s.send("GET / HTTP/1.1\r\nHost: " + secret + "\r\n\r\n")
	}
	s.stop()
	s.wait()
	var loud, quiet int
	for _, line := range logged.lines() {
		if strings.Contains(line, secret) {
			t.Errorf("the log quotes the peer: %s", line)
		}
		switch {
		case !strings.Contains(line, "TLS handshake error"):
		case strings.Contains(line, `"level"=0`):
			loud++
		default:
			quiet++
		}
	}
	if loud != 5 || loud+quiet != failures {
		t.Errorf("%d failures were logged at info and %d at debug, want 5 and %d", loud, quiet, failures-5)
	}
}

func TestPanicIsLoggedAsAnError(t *testing.T) {
	var logged logBuffer
	service := &service{answer: func(context.Context, string) int { panic("a bug") }}
	s := serve(t, Options{Handler: service, Log: funcr.New(logged.line, funcr.Options{})})
	conn := s.dial()
	if _, err := io.WriteString(conn, post(goodBody)); err != nil {
		t.Fatal(err)
	}
	if answer, _ := io.ReadAll(conn); len(answer) > 0 {
		t.Errorf("answered %s", answer)
	}
	s.stop()
	s.wait()
	all := strings.Join(logged.lines(), "\n")
	if !strings.Contains(all, "Handler failed") || !strings.Contains(all, "a bug") {
		t.Errorf("logged %s", all)
	}
}
