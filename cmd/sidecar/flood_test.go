package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tegata-dev/tegata/internal/decision"
	"github.com/tegata-dev/tegata/internal/listener/forwardauth"
	"github.com/tegata-dev/tegata/internal/listener/login"
	"github.com/tegata-dev/tegata/internal/listenertest"
)

// TestAFloodOnOneListenerLeavesTheOtherAlone fills one listener, and more, in several ways, and asks the other one.
func TestAFloodOnOneListenerLeavesTheOtherAlone(t *testing.T) {
	const body = `{"user":"hanako","password":"pw","program":"client"}`
	login := fmt.Sprintf("POST /v1/login HTTP/1.1\r\nHost: relay\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	session := "GET /v1/auth HTTP/1.1\r\nHost: app\r\nAuthorization: Bearer x\r\n\r\n"
	for name, tc := range map[string]struct {
		flooded, sends string // the listener, and what each of its connections sends
		ask            string // of the other one
	}{
		"silent connections to logins":       {"login", "", session},
		"logins that are denied":             {"login", login, session},
		"half logins":                        {"login", login[:len(login)-9], session},
		"silent connections to forward auth": {"forward auth", "", login},
		"sessions that are denied":           {"forward auth", session, login},
	} {
		t.Run(name, func(t *testing.T) {
			denying, admitting := listenertest.Denying(decision.Throttled), listenertest.Admitting()
			logins, gateways := denying, admitting
			if tc.flooded == "forward auth" {
				logins, gateways = admitting, denying
			}
			addresses := serveBoth(t, logins, gateways)
			other := addresses["login"]
			if tc.flooded == "login" {
				other = addresses["forward auth"]
			}
			flood(t, addresses[tc.flooded], tc.sends)
			for range 20 {
				if status, err := askOnce(other, tc.ask); err != nil || status != http.StatusOK {
					t.Fatalf("the other listener: %d, %v", status, err)
				}
			}
		})
	}
}

// TestAFloodOfDenialsLeavesRoomForSessions is about one listener: half of its connections are not for what waits.
func TestAFloodOfDenialsLeavesRoomForSessions(t *testing.T) {
	service := listenertest.Denying(decision.SessionInvalid)
	service.Decide = func(token string) decision.Verdict {
		if token == listenertest.Token {
			return decision.Allow
		}
		return decision.Deny
	}
	address := serveBoth(t, service, service)["forward auth"]
	// Like a gateway, which closes what it does not keep for the next request.
	flood(t, address, "GET /v1/auth HTTP/1.1\r\nHost: app\r\nConnection: close\r\nAuthorization: Bearer bad\r\n\r\n")
	began := time.Now()
	for range 20 {
		status, err := askOnce(address, "GET /v1/auth HTTP/1.1\r\nHost: app\r\nAuthorization: Bearer "+listenertest.Token+"\r\n\r\n")
		if err != nil || status != http.StatusOK {
			t.Fatalf("a session: %d, %v", status, err)
		}
	}
	// If denials could have all connections, each session would wait for many of them to be over.
	if took := time.Since(began); took > patience/2 {
		t.Errorf("20 sessions took %s", took)
	}
}

// fewConnections is --max-connections, less than what floods.
const fewConnections = 16

// serveBoth serves the listeners as the sidecar does, and returns their addresses.
func serveBoth(t *testing.T, logins, gateways *listenertest.Service) map[string]string {
	t.Helper()
	o := &options{loginAddress: freeAddress(t), forwardAuthAddress: freeAddress(t), maxConnections: fewConnections}
	start(t, func(ctx context.Context) error { return serveLogins(ctx, o, login.NewHandler(logins), logr.Discard()) })
	start(t, func(ctx context.Context) error {
		return serveForwardAuth(ctx, o, forwardauth.NewHandler(gateways, forwardauth.Options{
			MaxWaiting: o.forwardAuthWaiting(), Metrics: forwardauth.NewMetrics(prometheus.NewRegistry()),
		}), logr.Discard())
	})
	all := map[string]string{"login": o.loginAddress, "forward auth": o.forwardAuthAddress}
	for _, address := range all {
		eventually(t, func() error {
			conn, err := net.Dial("tcp", address)
			if err == nil {
				err = conn.Close()
			}
			return err
		})
	}
	return all
}

// flood keeps many more connections busy than there may be, each opened anew when it ends, until the test ends.
func flood(t *testing.T, address, sends string) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	const connections = 8 * fewConnections
	for range connections {
		go func() {
			defer func() { done <- struct{}{} }()
			for ctx.Err() == nil {
				floodOnce(ctx, address, sends)
			}
		}()
	}
	t.Cleanup(func() {
		stop()
		for range connections {
			<-done
		}
	})
}

func floodOnce(ctx context.Context, address, sends string) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return
	}
	defer conn.Close() //nolint:errcheck // it is a flood
	end := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer end()
	_, _ = io.WriteString(conn, sends)
	_, _ = io.Copy(io.Discard, conn)
}

// askOnce is the status of one answer, over a connection of its own.
func askOnce(address, request string) (int, error) {
	conn, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return 0, err
	}
	defer conn.Close() //nolint:errcheck // nothing more is expected of it
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return 0, err
	}
	if _, err := io.WriteString(conn, strings.Replace(request, "\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1)); err != nil {
		return 0, err
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, err
	}
	return response.StatusCode, response.Body.Close()
}
