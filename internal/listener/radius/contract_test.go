package radius

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"layeh.com/radius"
	"layeh.com/radius/rfc2865"

	"github.com/tegata-dev/tegata/internal/listenertest"
	"github.com/tegata-dev/tegata/internal/nas"
	"github.com/tegata-dev/tegata/internal/session"
)

// contractService adds to the contract's service what only gateways ask for.
type contractService struct{ *listenertest.Service }

func (contractService) ContinueSession(*session.Live) bool                { return true }
func (contractService) StopSession(*session.Live) bool                    { return true }
func (contractService) StopSessionOf(string, string, string, string) bool { return true }
func (contractService) TagSession(*session.Live, string) string           { return "" }

func TestContract(t *testing.T) {
	listenertest.Contract{
		Name:       ListenerName,
		LoginTells: []listenertest.Fact{listenertest.FactSession, listenertest.FactExpire},
		New: func(t testing.TB, s *listenertest.Service) listenertest.Listener {
			table := tableOf(t, testSpec())
			metrics := NewMetrics(prometheus.NewRegistry())
			clients := func() *nas.Table { return table }
			h := NewHandler(Options{
				Service: contractService{s}, Clients: clients, Metrics: metrics, Log: logr.Discard(), MaxRequests: 8,
				Connections: NewConnections(ConnectionsOptions{Clients: clients, Metrics: metrics, Log: logr.Discard()}),
			})
			d := Authentication.door()
			from := netip.MustParseAddrPort("127.0.0.1:1")
			return listenertest.Listener{Login: func(t testing.TB) listenertest.Reply {
				raw, replies := login(goodPassword), make(chan []byte, 1)
				h.receive(context.Background(), d, table.ByAddress(from.Addr()), from, raw, func(reply []byte) { replies <- reply })
				reply := <-replies
				d.underWay.Wait()
				return readReply(t, reply, raw)
			}}
		},
	}.Run(t)
}

// readReply leaves out the header and the Message-Authenticator, which are others for each request.
func readReply(t testing.TB, raw, request []byte) listenertest.Reply {
	t.Helper()
	p, err := checkReply(raw, request, []byte(shared))
	if err != nil {
		t.Fatal(err)
	}
	reply := listenertest.Reply{Admitted: p.Code == radius.CodeAccessAccept, Bytes: string(raw[0]) + string(raw[2:4]) + string(raw[38:])}
	if reply.Admitted {
		left, err := rfc2865.SessionTimeout_Lookup(p)
		if err != nil {
			t.Fatal(err)
		}
		reply.Tells = map[listenertest.Fact]string{
			listenertest.FactSession: sessionIn(rfc2865.Class_GetString(p)),
			listenertest.FactExpire:  time.Now().Add(time.Duration(left) * time.Second).UTC().Format(time.RFC3339),
		}
	}
	return reply
}
