package radius

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2866"
	"layeh.com/radius/rfc2869"
	"layeh.com/radius/rfc3576"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/session"
)

const (
	statusStart   = uint32(rfc2866.AcctStatusType_Value_Start)
	statusStop    = uint32(rfc2866.AcctStatusType_Value_Stop)
	statusInterim = uint32(rfc2866.AcctStatusType_Value_InterimUpdate)
	statusOn      = uint32(rfc2866.AcctStatusType_Value_AccountingOn)
	statusOff     = uint32(rfc2866.AcctStatusType_Value_AccountingOff)
)

// account is an Accounting-Request about a connection of hanako's.
func account(status uint32, id, class string, options ...requestOption) []byte {
	options = append([]requestOption{
		unsignedRequest, withInteger(rfc2866.AcctStatusType_Type, status), with(rfc2866.AcctSessionID_Type, id),
		with(rfc2865.UserName_Type, "hanako"), with(rfc2865.NASIdentifier_Type, "vpn-1"),
	}, options...)
	if class != "" {
		options = append(options, with(rfc2865.Class_Type, class))
	}
	return build(radius.CodeAccountingRequest, options...)
}

// loggedIn is a session that began at the listener, and the Class that the NAS was given.
func (l *lab) loggedIn(options ...requestOption) (live *session.Live, class string) {
	l.t.Helper()
	accept := l.dial(Authentication).ask(login(goodPassword, append([]requestOption{with(rfc2865.NASIdentifier_Type, "vpn-1")}, options...)...))
	class = rfc2865.Class_GetString(accept)
	l.connections.mu.Lock()
	defer l.connections.mu.Unlock()
	found := l.connections.bySession[strings.TrimPrefix(class, classPrefix)]
	if found == nil {
		l.t.Fatalf("answered %v with Class %q, of which nothing is known", accept.Code, class)
	}
	return found.live, class
}

// tell sends an Accounting-Request, which has to be acknowledged.
func (l *lab) tell(raw []byte) {
	l.t.Helper()
	if reply := l.dial(Accounting).ask(raw); reply.Code != radius.CodeAccountingResponse || len(reply.Attributes) != 0 {
		l.t.Errorf("answered %v with %d attributes", reply.Code, len(reply.Attributes))
	}
}

func (l *lab) known() int {
	l.connections.mu.Lock()
	defer l.connections.mu.Unlock()
	if len(l.connections.byAccounting) > len(l.connections.bySession) {
		l.t.Errorf("%d names of %d connections", len(l.connections.byAccounting), len(l.connections.bySession))
	}
	return len(l.connections.bySession)
}

func TestAccountingFollowsASession(t *testing.T) {
	for name, tc := range map[string]struct {
		login []requestOption
		class bool
	}{
		"by its Class":             {nil, true},
		"by what the login called": {[]requestOption{with(rfc2866.AcctSessionID_Type, "acct-1")}, false},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			live, class := l.loggedIn(tc.login...)
			if !tc.class {
				class = ""
			}
			began := live.LastSeen()
			l.tell(account(statusStart, "acct-1", class))
			l.tell(account(statusInterim, "acct-1", class, withInteger(rfc2866.AcctInputOctets_Type, 7)))
			if !live.LastSeen().After(began) || live.Traffic() != (session.Traffic{Received: 7}) {
				t.Errorf("last seen %s after it began, traffic %+v", live.LastSeen().Sub(began), live.Traffic())
			}
			l.tell(account(statusStop, "acct-1", class, withInteger(rfc2866.AcctInputOctets_Type, 10), withInteger(rfc2866.AcctOutputOctets_Type, 20),
				withInteger(rfc2869.AcctOutputGigawords_Type, 1), withInteger(rfc2866.AcctSessionTime_Type, 743), withInteger(rfc2866.AcctTerminateCause_Type, 1)))
			if !live.Ended() || l.Count() != 0 || l.known() != 0 {
				t.Errorf("ended %t, %d sessions, %d connections", live.Ended(), l.Count(), l.known())
			}
			if got := live.Traffic(); got != (session.Traffic{Received: 10, Sent: 1<<32 + 20}) {
				t.Errorf("traffic %+v", got)
			}
			for _, want := range []string{`"msg"="Connection ended"`, `"seconds"=743`, `"bytesReceived"=10`, `"bytesSent"=4294967316`, `"cause"="User-Request"`, live.ID} {
				if !strings.Contains(l.logged.String(), want) {
					t.Errorf("the log does not say %s:\n%s", want, l.logged.String())
				}
			}
			if got := l.counts("tegata_radius_disconnects_total"); len(got) != 0 {
				t.Errorf("a connection that has ended was to be ended: %v", got)
			}
			l.counted("accounting-request answered", 3)
		})
	}
}

// TestAStopThatTellsNothing: a gateway need not count, nor say why.
func TestAStopThatTellsNothing(t *testing.T) {
	l := newLab(t)
	live, class := l.loggedIn()
	l.tell(account(statusStop, "acct-1", class))
	if logged := l.logged.String(); !live.Ended() || !strings.Contains(logged, `"msg"="Connection ended"`) || strings.Contains(logged, `"cause"`) {
		t.Errorf("ended %t, logged:\n%s", live.Ended(), logged)
	}
}

// TestAccountingOfOthers: nobody ends the session of another gateway or of a connection that came after.
func TestAccountingOfOthers(t *testing.T) {
	l := newLab(t)
	live, class := l.loggedIn()
	l.tell(account(statusStart, "acct-1", class))
	for name, raw := range map[string][]byte{
		"an older connection": account(statusStop, "acct-0", class),
		"another gateway":     account(statusStop, "acct-1", class, without(rfc2865.NASIdentifier_Type), with(rfc2865.NASIdentifier_Type, "vpn-2")),
		"another, by name":    account(statusStop, "acct-1", "", without(rfc2865.NASIdentifier_Type), with(rfc2865.NASIdentifier_Type, "vpn-2")),
		"another that starts": account(statusOn, "", "", without(rfc2865.NASIdentifier_Type), with(rfc2865.NASIdentifier_Type, "vpn-2")),
		"an unknown status":   account(15, "acct-1", class),
	} {
		l.tell(raw)
		if live.Ended() {
			t.Fatalf("%s ended the session", name)
		}
	}
	// A connection of another sidecar's session is ended under the person's name.
	l.tell(account(statusStop, "acct-9", classPrefix+"01K9ZZZZZZ0000000000000000"))
	l.tell(account(statusStop, "acct-9", "somebody else's Class"))
	want := []string{"hanako 01K9ZZZZZZ0000000000000000"}
	l.change(func() {
		if diff := cmp.Diff(want, l.stopped); diff != "" {
			t.Errorf("sessions of others (-want +got):\n%s", diff)
		}
	})
}

func TestGatewayRestarts(t *testing.T) {
	for name, status := range map[string]uint32{"On": statusOn, "Off": statusOff} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			one, class := l.loggedIn()
			l.tell(account(statusStart, "acct-1", class))
			two, _ := l.loggedIn()
			other, _ := l.loggedIn(without(rfc2865.NASIdentifier_Type), with(rfc2865.NASIdentifier_Type, "vpn-2"))
			l.tell(account(status, "", ""))
			if !one.Ended() || !two.Ended() || other.Ended() || l.known() != 1 {
				t.Errorf("ended: %t and %t of the gateway, %t of another; %d connections are known", one.Ended(), two.Ended(), other.Ended(), l.known())
			}
		})
	}
}

func TestAccountingIsChecked(t *testing.T) {
	for name, tc := range map[string]struct {
		raw  []byte
		want string
	}{
		"another secret":    {account(statusStart, "a", "", sharing("another-secret-of-somebody")), "accounting-request not-authentic"},
		"wrong signature":   {account(statusStart, "a", "", with(80, strings.Repeat("m", 16))), "accounting-request not-authentic"},
		"without a status":  {account(statusStart, "a", "", without(rfc2866.AcctStatusType_Type)), "accounting-request malformed"},
		"a status of bytes": {account(statusStart, "a", "", without(rfc2866.AcctStatusType_Type), with(rfc2866.AcctStatusType_Type, "x")), "accounting-request malformed"},
		"an Access-Request": {login(goodPassword), "access-request unexpected"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			g := l.dial(Accounting)
			g.send(tc.raw)
			l.counted(tc.want, 1)
			if reply := g.receive(silence); reply != nil {
				t.Errorf("answered %x", reply)
			}
		})
	}
	l := newLab(t)
	l.tell(account(statusStart, "a", "", func(r *request) { r.unsigned = false }))
}

// receiver is where a gateway takes Disconnect-Requests.
type receiver struct {
	t    *testing.T
	conn *net.UDPConn
}

// receiver has the client's Disconnect-Requests go to a socket of the test's.
func (l *lab) receiver() *receiver {
	l.t.Helper()
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { _ = conn.Close() })
	spec := testSpec()
	spec.Clients[0].DisconnectPort = new(int32(netip.MustParseAddrPort(conn.LocalAddr().String()).Port()))
	l.setSpec(spec)
	return &receiver{l.t, conn}
}

func (r *receiver) next(within time.Duration) ([]byte, *net.UDPAddr) {
	r.t.Helper()
	buffer := make([]byte, 5000)
	_ = r.conn.SetReadDeadline(time.Now().Add(within))
	n, from, err := r.conn.ReadFromUDP(buffer)
	if err != nil {
		return nil, nil
	}
	return buffer[:n], from
}

// reply answers a Disconnect-Request.
func (r *receiver) reply(to *net.UDPAddr, request []byte, code radius.Code, secret string, attributes ...*radius.AVP) {
	r.t.Helper()
	parsed, err := radius.Parse(request, []byte(secret))
	if err != nil {
		r.t.Fatal(err)
	}
	answer := parsed.Response(code)
	answer.Attributes = attributes
	raw, err := answer.Encode()
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := r.conn.WriteToUDP(raw, to); err != nil {
		r.t.Fatal(err)
	}
}

func (l *lab) disconnected(outcome string, want int) {
	l.t.Helper()
	l.eventually(func() error {
		if got := l.counts("tegata_radius_disconnects_total"); got[outcome] != want {
			return fmt.Errorf("Disconnect-Requests %v, want %d %s\n%s", got, want, outcome, l.logged.String())
		}
		return nil
	})
}

// TestEndedSessionsAreDisconnected: the gateway is told which connection, in a request that only who shares the
// secret can have made, at once and until it answers.
func TestEndedSessionsAreDisconnected(t *testing.T) {
	l := newLab(t)
	gateway := l.receiver()
	live, class := l.loggedIn()
	l.tell(account(statusStart, "acct-1", class, with(rfc2865.FramedIPAddress_Type, "\x0a\x00\x00\x07")))
	l.End(live, session.Refused)
	first, _ := gateway.next(patience)
	again, from := gateway.next(patience)
	if len(first) < 38 || !bytes.Equal(first, again) || !radius.IsAuthenticRequest(first, []byte(shared)) {
		t.Fatalf("told\n%x, and again\n%x", first, again)
	}
	p, err := radius.Parse(first, []byte(shared))
	if err != nil || p.Code != radius.CodeDisconnectRequest || p.Attributes[0].Type != 80 {
		t.Fatalf("%v, begins with %d: %v", p.Code, p.Attributes[0].Type, err)
	}
	if want := signature(first, 22, make([]byte, 16), []byte(shared)); !bytes.Equal(want[:], first[22:38]) {
		t.Error("the Message-Authenticator is wrong")
	}
	got := []string{rfc2865.UserName_GetString(p), rfc2865.NASIdentifier_GetString(p), rfc2866.AcctSessionID_GetString(p), rfc2865.FramedIPAddress_Get(p).String()}
	if diff := cmp.Diff([]string{"hanako", "vpn-1", "acct-1", "10.0.0.7"}, got); diff != "" {
		t.Errorf("told of (-want +got):\n%s", diff)
	}
	if at := rfc2869.EventTimestamp_Get(p); time.Since(at) > patience {
		t.Errorf("Event-Timestamp %s", at)
	}
	// What others answer does not count.
	gateway.reply(from, first, radius.CodeDisconnectACK, "another-secret-of-somebody")
	gateway.reply(from, first, radius.CodeAccessAccept, shared)
	gateway.reply(from, first, radius.CodeDisconnectACK, shared)
	l.disconnected("acknowledged", 1)
	if got := l.counts("tegata_radius_disconnects_total"); len(got) != 1 {
		t.Errorf("outcomes %v", got)
	}
	// The gateway then says that the connection has ended, which is nothing new.
	l.tell(account(statusStop, "acct-1", class))
	if l.known() != 0 {
		t.Error("the connection is remembered")
	}
}

// TestForgedAcknowledgements: who does not share the secret cannot keep a connection.
func TestForgedAcknowledgements(t *testing.T) {
	l := newLab(t)
	gateway := l.receiver()
	live, class := l.loggedIn()
	l.tell(account(statusStart, "acct-1", class))
	l.End(live, session.Refused)
	for range 2 {
		raw, from := gateway.next(patience)
		gateway.reply(from, raw, radius.CodeDisconnectACK, "another-secret-of-somebody")
	}
	l.disconnected("unanswered", 1)
	if got := l.counts("tegata_radius_disconnects_total"); len(got) != 1 {
		t.Errorf("outcomes %v", got)
	}
}

// TestSessionsStoppedElsewhere: a gateway that said so itself is told nothing.
func TestSessionsStoppedElsewhere(t *testing.T) {
	l := newLab(t)
	gateway := l.receiver()
	live, class := l.loggedIn()
	l.tell(account(statusStart, "acct-1", class))
	l.End(live, session.Stopped)
	if raw, _ := gateway.next(silence); raw != nil || l.known() != 0 {
		t.Errorf("told %x; %d connections are remembered", raw, l.known())
	}
}

func TestRefusalsOfDisconnects(t *testing.T) {
	for name, tc := range map[string]struct {
		cause uint32
		want  string
	}{
		"no such session": {uint32(rfc3576.ErrorCause_Value_SessionContextNotFound), "unknown-session"},
		"not possible":    {uint32(rfc3576.ErrorCause_Value_AdministrativelyProhibited), "refused"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			gateway := l.receiver()
			live, class := l.loggedIn()
			l.tell(account(statusStart, "acct-1", class))
			l.End(live, session.Logout)
			raw, from := gateway.next(patience)
			gateway.reply(from, raw, radius.CodeDisconnectNAK, shared, &radius.AVP{Type: rfc3576.ErrorCause_Type, Attribute: radius.NewInteger(tc.cause)})
			l.disconnected(tc.want, 1)
		})
	}
}

// TestConnectionsThatCannotBeEnded are counted each, and nobody waits for them for ever.
func TestConnectionsThatCannotBeEnded(t *testing.T) {
	for name, tc := range map[string]struct {
		spec   func(*v1alpha1.RADIUS)
		silent bool
		want   string
	}{
		"nobody answers":  {nil, true, "unanswered"},
		"nobody listens":  {func(s *v1alpha1.RADIUS) { s.Clients[0].DisconnectPort = new(int32(1)) }, false, "unanswered"},
		"no port":         {func(s *v1alpha1.RADIUS) { s.Clients[0].DisconnectPort = new(int32(0)) }, false, "unreachable"},
		"not a client":    {func(s *v1alpha1.RADIUS) { s.Clients[0].CIDRs = []v1alpha1.CIDR{"192.0.2.0/24"} }, false, "unreachable"},
		"without a name":  {nil, false, "unnamed"},
		"no RADIUS there": {func(s *v1alpha1.RADIUS) { *s = v1alpha1.RADIUS{Attributes: s.Attributes} }, false, "unreachable"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			l.receiver()
			live, class := l.loggedIn()
			if tc.want != "unnamed" {
				l.tell(account(statusStart, "acct-1", class))
			}
			if tc.spec != nil {
				spec := testSpec()
				tc.spec(spec)
				l.setSpec(spec)
			}
			l.End(live, session.Refused)
			l.disconnected(tc.want, 1)
		})
	}
}

// TestInterimOfAnEndedSession: a connection that goes on although its session is over is ended again.
func TestInterimOfAnEndedSession(t *testing.T) {
	l := newLab(t)
	live, class := l.loggedIn()
	l.tell(account(statusStart, "acct-1", class))
	l.End(live, session.Refused)
	l.disconnected("unanswered", 1)
	gateway := l.receiver()
	l.change(func() { l.goesOn = func(*session.Live) bool { return false } })
	l.tell(account(statusInterim, "acct-1", class))
	raw, from := gateway.next(patience)
	gateway.reply(from, raw, radius.CodeDisconnectACK, shared)
	l.disconnected("acknowledged", 1)
}

// TestASessionThatEndsAtOnce: it was refused between its login and the answer to it.
func TestASessionThatEndsAtOnce(t *testing.T) {
	l := newLab(t)
	gateway := l.receiver()
	l.change(func() { l.goesOn = func(*session.Live) bool { return false } })
	l.loggedIn(with(rfc2866.AcctSessionID_Type, "acct-1"))
	if raw, _ := gateway.next(patience); raw == nil {
		t.Error("the gateway was not told")
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	l := newLab(t)
	for i := range maxOver + 10 {
		live := &session.Live{Session: session.Session{ID: fmt.Sprintf("s%d", i)}}
		x := &exchange{packet: packet{}, client: l.clients().ByAddress(netip.MustParseAddr("127.0.0.1")), door: Authentication.door()}
		l.connections.begin(live, x)
		l.connections.Ended(live, session.Expired, time.Now())
	}
	if l.known() != maxOver {
		t.Errorf("%d connections are remembered, want %d", l.known(), maxOver)
	}
}
