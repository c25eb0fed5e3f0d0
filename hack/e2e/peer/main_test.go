package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestRelayTellsWhoAsks, and answers what is under way when it is stopped.
func TestRelayTellsWhoAsks(t *testing.T) {
	asked, answer := make(chan *http.Request), make(chan struct{})
	sidecar := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked <- r
		<-answer
	}))
	defer sidecar.Close()
	address := freeAddress(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, []string{"relay", address, sidecar.URL}) }()
	awaitListener(t, address)
	status := make(chan int, 1)
	go func() {
		response, err := http.Post("http://"+address+"/v1/login", "application/json", strings.NewReader("{}"))
		if err != nil {
			t.Error(err)
			status <- 0
			return
		}
		_ = response.Body.Close()
		status <- response.StatusCode
	}()
	if r := <-asked; r.Header.Get("X-Forwarded-For") != "127.0.0.1" || r.URL.Path != "/v1/login" {
		t.Errorf("the sidecar is asked %s for %q", r.URL, r.Header.Get("X-Forwarded-For"))
	}
	stop()
	close(answer)
	if got := <-status; got != http.StatusOK {
		t.Errorf("status %d", got)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestEachLoginIsPrinted(t *testing.T) {
	sidecar := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body struct{ User string }
		_ = json.NewDecoder(r.Body).Decode(&body)
		switch body.User {
		case "load-0000":
			_, _ = w.Write([]byte(`{"enrolled":true,"correlationID":"A"}`))
		case "load-0001":
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = w.Write([]byte(`{"status":401,"correlationID":"B"}`))
		default:
			w.WriteHeader(http.StatusBadGateway)
		}
	}))
	defer sidecar.Close()
	var out bytes.Buffer
	p := &people{out: json.NewEncoder(&out), url: sidecar.URL, prefix: "load", count: 3, concurrency: 1, client: sidecar.Client()}
	if err := p.all(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	var lines []line
	for decoder := json.NewDecoder(&out); decoder.More(); {
		var l line
		if err := decoder.Decode(&l); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, l)
	}
	if len(lines) != 3 || lines[0].Status != 200 || !lines[0].Enrolled || lines[0].ID != "A" ||
		lines[1].Status != 401 || lines[1].ID != "B" || lines[2].Status != 502 || lines[2].Error == "" {
		t.Errorf("printed %+v", lines)
	}
}

func TestAbortIsNoStop(t *testing.T) {
	victim := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$", "-test.count=1000000000")
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	if err := run(t.Context(), []string{"abort", strconv.Itoa(victim.Process.Pid)}); err != nil {
		t.Error(err)
	}
	if err := victim.Wait(); err == nil {
		t.Error("it has ended well")
	}
}

func TestWhatIsNotUnderstoodIsAnError(t *testing.T) {
	for _, args := range [][]string{nil, {"sleep"}, {"relay"}, {"wait", "x"}, {"abort", "0"}, {"abort", "-1"}, {"load", "--no-such-flag"}} {
		if err := run(t.Context(), args); err == nil {
			t.Errorf("%q is understood", args)
		}
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // it is to be free
	return l.Addr().String()
}

func awaitListener(t *testing.T, address string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; {
		connection, err := net.Dial("tcp", address)
		if err == nil {
			_ = connection.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}
