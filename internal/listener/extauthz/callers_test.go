package extauthz

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/tegata-dev/tegata/internal/authn"
)

// TestIdleConnectionsKeepNobodyOut floods the listener with more connections than there may be, none of which asks
// anything: a new gateway is answered, and so is a check that was under way all the time.
func TestIdleConnectionsKeepNobodyOut(t *testing.T) {
	const limit = 4
	var settings frames
	if err := http2.NewFramer(&settings, nil).WriteSettings(); err != nil {
		t.Fatal(err)
	}
	for name, sends := range map[string]string{
		"nothing at all":          "",
		"half a preface":          http2.ClientPreface[:10],
		"HTTP/2, and no requests": http2.ClientPreface + string(settings),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			service := newFakeService()
			arrived, decide := make(chan struct{}), make(chan struct{})
			admit := service.session
			service.session = func(ctx context.Context, a authn.SessionAttempt) authn.SessionResult {
				if a.Token == "slow" {
					close(arrived)
					<-decide
					a.Token = goodToken
				}
				return admit(ctx, a)
			}
			s := serve(t, Options{Service: service, MaxConnections: limit})
			slow := make(chan error, 1)
			gateway := s.client()
			go func() {
				_, err := gateway.Check(within(t), fromEnvoy(bearing("slow")))
				slow <- err
			}()
			<-arrived
			for range 2 * limit {
				conn, err := net.DialTimeout("tcp", s.address, patience)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = conn.Close() })
				if _, err := io.WriteString(conn, sends); err != nil {
					t.Fatal(err)
				}
			}
			if r := s.check(fromEnvoy(bearing(goodToken))); r.GetOkResponse() == nil {
				t.Errorf("a new gateway is answered %v", r)
			}
			close(decide)
			if err := <-slow; err != nil {
				t.Errorf("a check that was under way is answered %v", err)
			}
		})
	}
}

// frames collects what a framer writes.
type frames []byte

func (f *frames) Write(p []byte) (int, error) {
	*f = append(*f, p...)
	return len(p), nil
}

// TestConnectionsOfGatewaysGiveWayWhenIdle: one that has asked and asks no more is the first to go, and its gateway
// connects anew.
func TestConnectionsOfGatewaysGiveWayWhenIdle(t *testing.T) {
	s := serve(t, Options{Service: newFakeService(), MaxConnections: 1})
	for range 2 {
		start := time.Now()
		if r := s.check(fromEnvoy(bearing(goodToken))); r.GetOkResponse() == nil {
			t.Errorf("answered %v", r)
		}
		if took := time.Since(start); took > patience/2 {
			t.Errorf("answered after %s", took)
		}
	}
}
