// Package radius is the listener at which gateways (NAS) ask for logins over RADIUS, over UDP or TLS, tell how
// connections go, and are told to end them.
//
// It extracts an Attempt from an Access-Request and renders a Result, ties the accounting of a NAS to sessions,
// and holds denials back until their time; it has no policy of its own. The codec is layeh.com/radius; what shows
// who sent a packet, the memory of packets that come twice, and every bound are this package's. It must not let a
// password or a shared secret reach a log, an error or a metric.
package radius

import (
	"bytes"
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/time/rate"
	"layeh.com/radius"
	"layeh.com/radius/rfc2865"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/authn"
	"github.com/tegata-dev/tegata/internal/denial"
	"github.com/tegata-dev/tegata/internal/logflood"
	"github.com/tegata-dev/tegata/internal/nas"
	"github.com/tegata-dev/tegata/internal/session"
	"github.com/tegata-dev/tegata/internal/tracing"
)

// ListenerName labels this listener's metrics and logs.
const ListenerName = "radius"

// Service answers logins and keeps sessions; *authn.Service does.
type Service interface {
	Check(ctx context.Context, a *authn.Attempt) authn.Result
	ContinueSession(l *session.Live) bool
	StopSession(l *session.Live) bool
	TagSession(l *session.Live, gateway string) string
	StopSessionOf(userName, id, gateway, tag string) bool
	Denial() authn.Denial
}

// Options are what a Handler works with. All are required.
type Options struct {
	Service Service
	// Clients are who may ask at present, nil while nobody may. It must not wait.
	Clients     func() *nas.Table
	Connections *Connections
	Metrics     *Metrics
	// Tracer is nil where no traces are made.
	Tracer *tracing.Tracer
	Log    logr.Logger
	// MaxRequests is how many Access-Requests are under way at a time. Further ones are dropped; their NAS sends
	// them again.
	MaxRequests int
}

// Handler answers packets, whatever they come over.
type Handler struct {
	Options
	denials denial.Renderer
	slots   chan struct{}
	signing sync.Map // of names of clients that have sent a good Message-Authenticator
	few     rate.Sometimes
	// strangers has its own, so that they do not silence what is said of clients.
	strangers rate.Sometimes
	// refused is about Access-Requests that hold no login that can be checked.
	refused *logflood.Line
}

// NewHandler makes a Handler.
func NewHandler(o Options) *Handler {
	return &Handler{
		Options: o, slots: make(chan struct{}, o.MaxRequests),
		few: rate.Sometimes{First: 5, Interval: time.Minute}, strangers: rate.Sometimes{First: 5, Interval: time.Minute},
		refused: logflood.New(o.Log, "Access-Request is refused"),
	}
}

// door is where packets come in: a UDP port, or a connection over TLS.
type door struct {
	// permits says which kinds of packets are taken.
	permits  [kinds]bool
	overTLS  bool
	received *duplicates
	// status is the code of the answer to a Status-Server (RFC 5997, section 3).
	status radius.Code
	// underWay counts the requests that are answered later.
	underWay *sync.WaitGroup
}

// exchange is one request, and the way back to who sent it.
type exchange struct {
	packet
	door   *door
	kind   kind
	client *nas.Client
	from   netip.AddrPort
	// arrival is when the packet had arrived.
	arrival time.Time
	entry   entryID
	// send takes what goes back. It may be called later, and from another goroutine.
	send func([]byte)
}

// receive answers one packet, and says whether it was one of that client's. It keeps nothing of raw. Whatever
// waits is done later, so that it returns at once.
func (h *Handler) receive(ctx context.Context, d *door, client *nas.Client, from netip.AddrPort, raw []byte, send func([]byte)) bool {
	x := exchange{door: d, client: client, from: from, arrival: time.Now(), kind: kindOther, send: send}
	if len(raw) > 0 {
		x.kind = kindOf(raw[0])
	}
	if o, ok := h.admit(&x, raw); !ok {
		h.Metrics.packets[x.kind][o].Inc()
		return o != malformed && o != notAuthentic && o != unknownClient
	}
	entry, reply, fresh := d.received.begin(from, &x.packet)
	if !fresh {
		h.repeat(&x, reply)
		return true
	}
	x.entry = entry
	switch x.kind {
	case kindAccess:
		h.later(ctx, x)
	case kindAccounting:
		h.account(&x)
	case kindStatus:
		h.answer(&x, d.status, nil, answered)
	case kindOther, kinds: // not permitted at any door
	}
	return true
}

// admit reads a packet. What is not to be answered says what it is instead.
func (h *Handler) admit(x *exchange, raw []byte) (outcome, bool) {
	if x.client == nil {
		h.strangers.Do(func() {
			h.Log.Info("Packet is dropped: its address is in no client's cidrs, or that client has no usable secret",
				"source", x.from.Addr().String(), "kind", kindNames[x.kind])
		})
		return unknownClient, false
	}
	p, err := open(raw, x.client.Secret())
	if err != nil {
		return malformed, false
	}
	x.packet = p
	switch {
	case !x.door.permits[x.kind]:
		return unexpected, false
	case !p.authentic:
		h.complain("Packet is dropped: its authenticator is not made with the shared secret", x)
		return notAuthentic, false
	case !p.signed && h.mustSign(x):
		h.complain("Packet is dropped: it has no Message-Authenticator, which requireMessageAuthenticator asks for", x)
		return unsigned, false
	}
	return accepted, true
}

// mustSign says whether a packet without a Message-Authenticator is dropped. Accounting has an authenticator that
// nobody makes without the secret. A Status-Server has none, and every client that sends it signs (RFC 5997,
// section 2), and so does whoever carries EAP (RFC 3579, section 3.1).
func (h *Handler) mustSign(x *exchange) bool {
	switch {
	case x.kind == kindStatus || (x.kind == kindAccess && x.has(eapMessage)):
		return true
	case x.kind != kindAccess || x.door.overTLS:
		return false
	}
	switch x.client.Require {
	case v1alpha1.MessageAuthenticatorNever:
		return false
	case v1alpha1.MessageAuthenticatorAuto:
		_, signs := h.signing.Load(x.client.Name)
		// The attack needs an attribute that the server sends back, which is Proxy-State.
		return signs || x.proxied
	}
	return true
}

// noteSigned remembers that a client signs, which Auto then requires of it.
func (h *Handler) noteSigned(x *exchange) {
	if !x.signed || x.client.Require != v1alpha1.MessageAuthenticatorAuto || x.door.overTLS {
		return
	}
	if _, known := h.signing.LoadOrStore(x.client.Name, struct{}{}); !known {
		h.Log.Info("RADIUS client signs its requests, which is required of it from now on; make that "+
			"requireMessageAuthenticator: Always", "client", x.client.Name)
	}
}

// repeat sends the same bytes again, or nothing while they are not there yet.
func (h *Handler) repeat(x *exchange, reply []byte) {
	if reply == nil {
		h.Metrics.packets[x.kind][pending].Inc()
		return
	}
	h.Metrics.packets[x.kind][repeated].Inc()
	x.send(reply)
}

// later answers an Access-Request while other packets are read, if there is room for it. Then the buffer that it was
// read into is not its own any more.
func (h *Handler) later(ctx context.Context, x exchange) {
	h.noteSigned(&x)
	select {
	case h.slots <- struct{}{}:
	default:
		h.complain("Access-Request is dropped: too many are under way", &x)
		h.drop(&x, busy)
		return
	}
	x.attributes = bytes.Clone(x.attributes)
	x.door.underWay.Go(func() {
		defer func() { <-h.slots }()
		h.access(ctx, &x)
	})
}

// answer sends a reply, and keeps it for whoever asks again. Proxies find their way back by Proxy-State, all of
// which is returned in its order (RFC 2865, section 5.33).
func (h *Handler) answer(x *exchange, code radius.Code, attributes radius.Attributes, o outcome) {
	if x.proxied {
		for state := range x.each(nas.Attribute{Type: byte(rfc2865.ProxyState_Type)}) {
			attributes.Add(rfc2865.ProxyState_Type, state)
		}
	}
	reply, err := x.reply(code, attributes)
	if err != nil { // the Proxy-States leave no room for what is to be said
		h.complain("Request is dropped: its reply would be too long", x)
		h.drop(x, malformed)
		return
	}
	x.door.received.finish(x.entry, reply)
	h.Metrics.packets[x.kind][o].Inc()
	x.send(reply)
}

func (x *exchange) reply(code radius.Code, attributes radius.Attributes) ([]byte, error) {
	if x.kind == kindAccounting {
		return acknowledge(x.id, x.authenticator, attributes, x.client.Secret()), nil
	}
	return seal(code, x.id, x.authenticator, attributes, x.client.Secret())
}

// drop leaves a request without an answer, so that it is taken up anew when it comes again.
func (h *Handler) drop(x *exchange, o outcome) {
	x.door.received.abandon(x.entry)
	h.Metrics.packets[x.kind][o].Inc()
}

// complain logs what somebody who reaches the port can cause at will: a few times a minute, the rest at debug.
func (h *Handler) complain(problem string, x *exchange) {
	verbosity := 1
	h.few.Do(func() { verbosity = 0 })
	h.Log.V(verbosity).Info(problem, "client", x.client.Name, "source", x.from.Addr().String(), "kind", kindNames[x.kind])
}
