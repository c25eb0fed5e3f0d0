package radius

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/goleak"
	"layeh.com/radius"
	"layeh.com/radius/rfc2865"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/authn"
	"github.com/tegata-dev/tegata/internal/decision"
	"github.com/tegata-dev/tegata/internal/nas"
	"github.com/tegata-dev/tegata/internal/session"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	// patience is how long a test waits for what is sure to happen.
	patience = 30 * time.Second
	// silence is how long a test waits for what must not happen.
	silence = 100 * time.Millisecond

	shared       = "shared-with-the-vpn-gateway"
	goodPassword = "correct-horse-battery"
)

// lab is a listener with everything around it in memory. It is the Service, too.
type lab struct {
	t *testing.T
	*session.Sessions
	handler     *Handler
	connections *Connections
	registry    *prometheus.Registry
	logged      logBuffer
	addresses   map[Port]netip.AddrPort
	stop        func()

	mu       sync.Mutex
	table    *nas.Table
	shape    authn.Denial
	check    func(*authn.Attempt) authn.Result
	goesOn   func(*session.Live) bool
	attempts []authn.Attempt
	stopped  []string // "user session" of sessions of others
}

type labOption func(*lab, *v1alpha1.RADIUS)

func requiring(r v1alpha1.MessageAuthenticatorRequirement) labOption {
	return func(_ *lab, spec *v1alpha1.RADIUS) { spec.Clients[0].RequireMessageAuthenticator = r }
}

// reading changes where a request tells of the device.
func reading(change func(*v1alpha1.RADIUSAttributes)) labOption {
	return func(_ *lab, spec *v1alpha1.RADIUS) { change(&spec.Attributes) }
}

func testSpec() *v1alpha1.RADIUS {
	pair := func(key string) v1alpha1.RADIUSAttribute {
		return v1alpha1.RADIUSAttribute{Name: "Cisco-AVPair", Key: "mdm-tlv=" + key}
	}
	return &v1alpha1.RADIUS{
		Clients: []v1alpha1.RADIUSClient{{
			Name: "vpn", CIDRs: []v1alpha1.CIDR{"127.0.0.1/32"}, SecretRef: &v1alpha1.LocalReference{Name: "vpn"},
			RequireMessageAuthenticator: v1alpha1.MessageAuthenticatorAlways, CertificateName: "vpn.example.com",
		}},
		Attributes: v1alpha1.RADIUSAttributes{
			Device: pair("device-uid"), Platform: pair("device-platform"), MACAddress: pair("device-public-mac"),
			SourceAddress:   v1alpha1.RADIUSAttribute{Name: "Calling-Station-Id"},
			MobilePlatforms: []string{"android", "apple-ios"}, OtherViewer: v1alpha1.ViewerPC,
		},
	}
}

// newQuietLab listens to nothing.
func newQuietLab(t *testing.T, options ...labOption) *lab {
	t.Helper()
	l := &lab{t: t, registry: prometheus.NewRegistry(), addresses: map[Port]netip.AddrPort{},
		shape: authn.Denial{Code: 293, ResponseTime: time.Millisecond}, goesOn: func(*session.Live) bool { return true },
	}
	spec := testSpec()
	for _, option := range options {
		option(l, spec)
	}
	l.setSpec(spec)
	keys, err := session.ParseKeys(session.NewKeys(time.Now()))
	if err != nil {
		t.Fatal(err)
	}
	log := funcr.New(l.logged.line, funcr.Options{Verbosity: 1})
	metrics := NewMetrics(l.registry)
	l.connections = NewConnections(ConnectionsOptions{
		Clients: l.clients, Metrics: metrics, Log: log, Retry: []time.Duration{50 * time.Millisecond, 100 * time.Millisecond},
	})
	l.Sessions = session.New(session.Options{
		Issuer: "demo/asp1", Keys: func() *session.Keys { return keys }, MaxPerUser: func() int { return 100 },
		Keep: func(*session.Live) {}, Observers: []session.Observer{l.connections},
	})
	l.handler = NewHandler(Options{
		Service: l, Clients: l.clients, Connections: l.connections, Metrics: metrics, Log: log, MaxRequests: 64,
	})
	return l
}

func newLab(t *testing.T, options ...labOption) *lab {
	t.Helper()
	l := newQuietLab(t, options...)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { l.connections.Run(ctx) })
	for _, port := range []Port{Authentication, Accounting} {
		conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
		if err != nil {
			t.Fatal(err)
		}
		l.addresses[port] = netip.MustParseAddrPort(conn.LocalAddr().String())
		wg.Go(func() {
			if err := l.handler.ServeUDP(ctx, conn, port, 2); err != nil {
				t.Error(err)
			}
		})
	}
	l.stop = func() { cancel(); wg.Wait() }
	t.Cleanup(l.stop)
	return l
}

func tableOf(t testing.TB, spec *v1alpha1.RADIUS) *nas.Table {
	t.Helper()
	table, problems := nas.NewTable(spec, map[string][]byte{"vpn": []byte(shared)})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return table
}

func (l *lab) setSpec(spec *v1alpha1.RADIUS) {
	table := tableOf(l.t, spec)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.table = table
}

func (l *lab) clients() *nas.Table {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.table
}

// Check admits whoever has the good password, unless the test says otherwise.
func (l *lab) Check(_ context.Context, a *authn.Attempt) authn.Result {
	l.mu.Lock()
	l.attempts = append(l.attempts, *a)
	check := l.check
	l.mu.Unlock()
	if check != nil {
		return check(a)
	}
	if string(a.Password) != goodPassword {
		return authn.Result{Outcome: decision.Outcome{Verdict: decision.Deny, Reason: decision.PasswordMismatch}}
	}
	return l.admit(a)
}

func (l *lab) admit(a *authn.Attempt) authn.Result {
	now := time.Now()
	live, token, err := l.Begin(session.Session{
		ID: session.NewID(now), UID: "uid-" + a.UserName, Program: a.Program, Viewer: a.Viewer, Begin: now, Expire: now.Add(time.Hour),
	}, session.Details{})
	if err != nil {
		panic(err)
	}
	return authn.Result{
		Outcome: decision.Outcome{Verdict: decision.Allow}, ExpireTime: now.Add(time.Hour), Session: live, Token: token,
	}
}

func (l *lab) ContinueSession(live *session.Live) bool {
	l.mu.Lock()
	goesOn := l.goesOn
	l.mu.Unlock()
	if live.Ended() || !goesOn(live) {
		return false
	}
	l.Admit(live)
	return true
}

func (l *lab) StopSession(live *session.Live) bool { return l.End(live, session.Stopped) }

func (l *lab) TagSession(live *session.Live, gateway string) string {
	return l.Tag(live.UID, live.ID, gateway)
}

func (l *lab) StopSessionOf(userName, id, gateway, tag string) bool {
	if !l.Tagged("uid-"+userName, id, gateway, tag) {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopped = append(l.stopped, userName+" "+id)
	return true
}

func (l *lab) Denial() authn.Denial {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.shape
}

// change changes what the listener is told, while it runs.
func (l *lab) change(do func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	do()
}

func (l *lab) asked() []authn.Attempt {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]authn.Attempt(nil), l.attempts...)
}

// counts are the counters that are not zero, by their labels.
func (l *lab) counts(name string) map[string]int {
	l.t.Helper()
	families, err := l.registry.Gather()
	if err != nil {
		l.t.Fatal(err)
	}
	got := map[string]int{}
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			if n := int(m.GetCounter().GetValue()); n > 0 {
				got[labelsOf(m)] = n
			}
		}
	}
	return got
}

func labelsOf(m *dto.Metric) string {
	var values []string
	for _, label := range m.GetLabel() {
		values = append(values, label.GetValue())
	}
	return strings.Join(values, " ")
}

func (l *lab) eventually(check func() error) {
	l.t.Helper()
	var err error
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-time.After(5 * time.Millisecond) {
		if err = check(); err == nil {
			return
		}
	}
	l.t.Fatal(err)
}

// counted waits until a packet counter has a value.
func (l *lab) counted(labels string, want int) {
	l.t.Helper()
	l.eventually(func() error {
		counts := l.counts("tegata_radius_packets_total")
		if counts[labels] != want {
			return fmt.Errorf("packets %v; want %d of %q", counts, want, labels)
		}
		return nil
	})
}

// gateway is a socket of a NAS at one port of the listener.
type gateway struct {
	t    *testing.T
	conn *net.UDPConn
}

func (l *lab) dial(port Port) *gateway {
	l.t.Helper()
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(l.addresses[port]))
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { _ = conn.Close() })
	return &gateway{l.t, conn}
}

func (g *gateway) send(raw []byte) {
	g.t.Helper()
	if _, err := g.conn.Write(raw); err != nil {
		g.t.Fatal(err)
	}
}

// receive waits for a packet, nil when there is none in time.
func (g *gateway) receive(within time.Duration) []byte {
	g.t.Helper()
	buffer := make([]byte, 5000)
	_ = g.conn.SetReadDeadline(time.Now().Add(within))
	n, err := g.conn.Read(buffer)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	if err != nil {
		g.t.Fatal(err)
	}
	return buffer[:n]
}

// ask sends a request and reads the answer, which has to be a good one.
func (g *gateway) ask(raw []byte) *radius.Packet {
	g.t.Helper()
	g.send(raw)
	return g.good(g.receive(patience), raw)
}

// good checks everything that shows who sent a reply, by other code than the listener's, and that it begins with a
// Message-Authenticator, if it is not one to accounting.
func (g *gateway) good(reply, request []byte) *radius.Packet {
	g.t.Helper()
	p, err := checkReply(reply, request, []byte(shared))
	if err != nil {
		g.t.Fatalf("%v in %x", err, reply)
	}
	return p
}

func checkReply(reply, request, secret []byte) (*radius.Packet, error) {
	signed := radius.Code(request[0]) != radius.CodeAccountingRequest
	switch {
	case len(reply) < 20 || (signed && len(reply) < 38):
		return nil, errors.New("no reply, or none with a Message-Authenticator")
	case int(binary.BigEndian.Uint16(reply[2:])) != len(reply):
		return nil, errors.New("wrong length")
	case reply[1] != request[1]:
		return nil, errors.New("another identifier")
	case !radius.IsAuthenticResponse(reply, request, secret):
		return nil, errors.New("wrong Response Authenticator")
	case !signed:
		return radius.Parse(reply, secret)
	case reply[20] != 80 || reply[21] != 18:
		return nil, errors.New("the first attribute is no Message-Authenticator")
	}
	unsigned := bytes.Clone(reply)
	copy(unsigned[4:20], request[4:20])
	clear(unsigned[22:38])
	mac := hmac.New(md5.New, secret)
	mac.Write(unsigned)
	if !hmac.Equal(mac.Sum(nil), reply[22:38]) {
		return nil, errors.New("wrong Message-Authenticator")
	}
	return radius.Parse(reply, secret)
}

// request is a packet that a test is about to send.
type request struct {
	code       radius.Code
	id         byte
	attributes radius.Attributes
	unsigned   bool
	secret     string
}

type requestOption func(*request)

func with(t radius.Type, value string) requestOption {
	return func(r *request) { r.attributes.Add(t, radius.Attribute(value)) }
}

func withInteger(t radius.Type, value uint32) requestOption {
	return func(r *request) { r.attributes.Add(t, radius.NewInteger(value)) }
}

// withPair is a Cisco-AVPair.
func withPair(pair string) requestOption {
	return func(r *request) {
		specific, err := radius.NewVendorSpecific(9, append(radius.Attribute{1, byte(2 + len(pair))}, pair...))
		if err != nil {
			panic(err)
		}
		r.attributes.Add(rfc2865.VendorSpecific_Type, specific)
	}
}

func without(t radius.Type) requestOption { return func(r *request) { r.attributes.Del(t) } }
func unsignedRequest(r *request)          { r.unsigned = true }
func withID(id byte) requestOption        { return func(r *request) { r.id = id } }

func sharing(secret string) requestOption { return func(r *request) { r.secret = secret } }

// passwordType stands for a User-Password that is still to be hidden.
const passwordType = rfc2865.UserPassword_Type

// login is an Access-Request of hanako on a PC that tells its device.
func login(password string, options ...requestOption) []byte {
	return build(radius.CodeAccessRequest, append([]requestOption{
		with(rfc2865.UserName_Type, "hanako"), with(passwordType, password), withPair("mdm-tlv=device-platform=win"),
		withPair("mdm-tlv=device-uid=0123456789ABCDEF"), withPair("mdm-tlv=device-public-mac=00-11-22-AA-BB-CC"),
		with(rfc2865.CallingStationID_Type, "198.51.100.7"),
	}, options...)...)
}

// build makes the bytes of a request, signed at its end, as most gateways do.
func build(code radius.Code, options ...requestOption) []byte {
	r := &request{code: code, secret: shared}
	for _, option := range options {
		option(r)
	}
	p := radius.New(code, []byte(r.secret))
	if r.id != 0 {
		p.Identifier = r.id
	}
	if code == radius.CodeAccountingRequest {
		p.Authenticator = [16]byte{}
	}
	for _, a := range r.attributes {
		if a.Type == passwordType && code == radius.CodeAccessRequest {
			hidden, err := radius.NewUserPassword(a.Attribute, p.Secret, p.Authenticator[:])
			if err != nil {
				panic(err)
			}
			a = &radius.AVP{Type: a.Type, Attribute: hidden}
		}
		p.Attributes = append(p.Attributes, a)
	}
	if !r.unsigned {
		p.Add(80, make(radius.Attribute, 16))
	}
	raw, err := p.MarshalBinary()
	if err != nil {
		panic(err)
	}
	if !r.unsigned {
		mac := hmac.New(md5.New, p.Secret)
		mac.Write(raw)
		mac.Sum(raw[len(raw)-16 : len(raw)-16])
	}
	if code == radius.CodeAccountingRequest {
		hash := md5.Sum(append(bytes.Clone(raw), p.Secret...))
		copy(raw[4:], hash[:])
	}
	return raw
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return b
}

// logBuffer collects log lines.
type logBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logBuffer) line(_, args string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b.WriteString(args + "\n")
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
