package radius

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"layeh.com/radius"
)

// connectOnly opens a connection from a loopback address that sends nothing.
func connectOnly(t *testing.T, from, to string) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: patience}
	conn, err := d.DialContext(t.Context(), "tcp", to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// TestWhoOnlyConnectsKeepsNobodyOut: neither a gateway that is served nor one that is to be.
func TestWhoOnlyConnectsKeepsNobodyOut(t *testing.T) {
	for name, tc := range map[string]struct {
		addresses int
		stay      int // of those that only connect
	}{
		"from the gateway's own address": {addresses: 1, stay: maxHandshakesOf},
		"from many addresses":            {addresses: 100, stay: maxHandshakes},
	} {
		t.Run(name, func(t *testing.T) {
			l, a := newLab(t), newAuthority(t)
			address := l.serveTLS(a, 2)
			certificate := a.named("vpn.example.com")
			served, err := l.dialTLS(address, a, certificate)
			if err != nil {
				t.Fatal(err)
			}
			served.ask(login(goodPassword, sharing(overTLS)))
			idle := make([]net.Conn, maxHandshakes+maxHandshakesOf)
			for i := range idle {
				idle[i] = connectOnly(t, fmt.Sprintf("127.0.0.%d", 1+i%tc.addresses), address)
			}
			early := time.Now().Add(handshakeTime / 2) // then it is not for the time that they took
			for i, conn := range idle[:len(idle)-tc.stay] {
				if err := conn.SetReadDeadline(early); err != nil {
					t.Fatal(err)
				}
				if _, err := conn.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
					t.Fatalf("connection %d of %d, which only connects, keeps its place", i, len(idle))
				}
			}
			fresh, err := l.dialTLS(address, a, certificate)
			if err != nil {
				t.Fatal(err)
			}
			for name, g := range map[string]*gatewayTLS{"served": served, "new": fresh} {
				if reply := g.ask(login(goodPassword, sharing(overTLS))); reply.Code != radius.CodeAccessAccept {
					t.Errorf("the gateway that is %s is answered %v", name, reply.Code)
				}
			}
		})
	}
}

// TestCertificatesOfNoClientTakeNoPlace of a gateway's.
func TestCertificatesOfNoClientTakeNoPlace(t *testing.T) {
	l, a := newLab(t), newAuthority(t)
	address := l.serveTLS(a, 1)
	stranger, err := l.dialTLS(address, a, a.named("other.example.com"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stranger.next(); err == nil {
		t.Error("a stranger is told something")
	}
	g, err := l.dialTLS(address, a, a.named("vpn.example.com"))
	if err != nil {
		t.Fatal(err)
	}
	g.ask(login(goodPassword, sharing(overTLS)))
}

func TestNetworkOf(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.7:1812":              "192.0.2.7/32",
		"[::ffff:192.0.2.7]:1812":     "192.0.2.7/32",
		"[2001:db8:1:2:3:4:5:6]:1812": "2001:db8:1:2::/64",
		"[fe80::1%eth0]:1812":         "fe80::/64",
	} {
		if got := networkOf(net.TCPAddrFromAddrPort(netip.MustParseAddrPort(address))); got.String() != want {
			t.Errorf("%s is of %s, want %s", address, got, want)
		}
	}
}
