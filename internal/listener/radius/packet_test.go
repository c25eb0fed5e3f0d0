package radius

import (
	"bytes"
	"context"
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"
	"time"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2866"
	"layeh.com/radius/rfc2869"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/authn"
)

// hostilePackets are what nobody who speaks RADIUS sends, and what is counted of each.
func hostilePackets() map[string]struct {
	raw  []byte
	want string
} {
	type packets = map[string]struct {
		raw  []byte
		want string
	}
	edit := func(raw []byte, change func([]byte)) []byte {
		raw = bytes.Clone(raw)
		change(raw)
		return raw
	}
	good := login(goodPassword)
	oversized := append(bytes.Clone(good), make([]byte, 5000)...)
	twice := build(radius.CodeAccessRequest, with(rfc2865.UserName_Type, "hanako"), with(rfc2869.MessageAuthenticator_Type, strings.Repeat("m", 16)))
	return packets{
		"one byte":             {[]byte{1}, "access-request malformed"},
		"half a header":        {good[:19], "access-request malformed"},
		"cut off":              {good[:len(good)-1], "access-request malformed"},
		"length below header":  {edit(good, func(b []byte) { binary.BigEndian.PutUint16(b[2:], 19) }), "access-request malformed"},
		"length beyond bound":  {edit(oversized[:4097], func(b []byte) { binary.BigEndian.PutUint16(b[2:], 4097) }), "access-request malformed"},
		"oversized":            {oversized, "access-request malformed"},
		"attribute of 0":       {edit(good, func(b []byte) { b[21] = 0 }), "access-request malformed"},
		"attribute of 1":       {edit(good, func(b []byte) { b[21] = 1 }), "access-request malformed"},
		"attribute too long":   {edit(good, func(b []byte) { b[21] = 255 }), "access-request malformed"},
		"half an attribute":    {edit(append(bytes.Clone(good), 1), func(b []byte) { binary.BigEndian.PutUint16(b[2:], uint16(len(b))) }), "access-request malformed"},
		"two authenticators":   {twice, "access-request malformed"},
		"short authenticator":  {build(radius.CodeAccessRequest, unsignedRequest, with(rfc2869.MessageAuthenticator_Type, "short")), "access-request malformed"},
		"tampered with":        {edit(good, func(b []byte) { b[23] ^= 1 }), "access-request not-authentic"},
		"another secret":       {login(goodPassword, sharing("another-secret-of-somebody")), "access-request not-authentic"},
		"unsigned":             {login(goodPassword, unsignedRequest), "access-request without-message-authenticator"},
		"unsigned EAP":         {login(goodPassword, unsignedRequest, with(rfc2869.EAPMessage_Type, "\x02\x01\x00\x0b\x01hanako")), "access-request without-message-authenticator"},
		"unsigned status":      {build(radius.CodeStatusServer, unsignedRequest), "status-server without-message-authenticator"},
		"accounting here":      {build(radius.CodeAccountingRequest), "accounting-request unexpected"},
		"an Access-Accept":     {build(radius.CodeAccessAccept), "other unexpected"},
		"a Disconnect-Request": {build(radius.CodeDisconnectRequest), "other unexpected"},
		"code 255":             {edit(good, func(b []byte) { b[0] = 255 }), "other unexpected"},
	}
}

// TestHostilePacketsAreDropped without an answer, and counted.
func TestHostilePacketsAreDropped(t *testing.T) {
	for name, tc := range hostilePackets() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			g := l.dial(Authentication)
			g.send(tc.raw)
			l.counted(tc.want, 1)
			if reply := g.receive(silence); reply != nil {
				t.Errorf("answered %x", reply)
			}
			if n := len(l.asked()); n != 0 {
				t.Errorf("%d attempts", n)
			}
			// The listener goes on.
			if reply := g.ask(login(goodPassword)); reply.Code != radius.CodeAccessAccept {
				t.Errorf("a good request is answered %v", reply.Code)
			}
		})
	}
}

func TestPaddingIsNotRead(t *testing.T) {
	l := newLab(t)
	raw := login(goodPassword)
	if reply := l.dial(Authentication).ask(append(raw, random(100)...)); reply.Code != radius.CodeAccessAccept {
		t.Errorf("answered %v", reply.Code)
	}
}

// TestUnknownClients: nobody else is answered, whether or not they know a secret. Their address is told, because
// a network may change that of a gateway, but not for each packet.
func TestUnknownClients(t *testing.T) {
	l := newLab(t)
	spec := testSpec()
	spec.Clients[0].CIDRs = []v1alpha1.CIDR{"192.0.2.0/24"}
	l.setSpec(spec)
	const each = 5
	for _, port := range []Port{Authentication, Accounting} {
		g := l.dial(port)
		for range each {
			g.send(login(goodPassword))
			g.send([]byte("anything"))
		}
		if reply := g.receive(silence); reply != nil {
			t.Errorf("answered %x", reply)
		}
	}
	l.counted("access-request unknown-client", 2*each)
	l.counted("other unknown-client", 2*each)
	if lines := strings.Count(l.logged.String(), `"source"="127.0.0.1"`); lines < 1 || lines > each {
		t.Errorf("%d lines tell the address, want 1 to %d:\n%s", lines, each, l.logged.String())
	}
}

// TestMessageAuthenticatorRequirement is BlastRADIUS (CVE-2024-3596): which requests are believed that whoever is
// on the way may have changed.
func TestMessageAuthenticatorRequirement(t *testing.T) {
	proxied := with(rfc2865.ProxyState_Type, "0")
	for name, tc := range map[string]struct {
		requirement  v1alpha1.MessageAuthenticatorRequirement
		before       []byte
		request      []byte
		wantAnswered bool
	}{
		"Always, signed":            {v1alpha1.MessageAuthenticatorAlways, nil, login(goodPassword), true},
		"Always, unsigned":          {v1alpha1.MessageAuthenticatorAlways, nil, login(goodPassword, unsignedRequest), false},
		"Auto, unsigned":            {v1alpha1.MessageAuthenticatorAuto, nil, login(goodPassword, unsignedRequest), true},
		"Auto, unsigned by a proxy": {v1alpha1.MessageAuthenticatorAuto, nil, login(goodPassword, unsignedRequest, proxied), false},
		"Auto, after a signed one":  {v1alpha1.MessageAuthenticatorAuto, login(goodPassword), login(goodPassword, unsignedRequest), false},
		"Auto, after a forged one":  {v1alpha1.MessageAuthenticatorAuto, login(goodPassword, sharing("forged-secret-of-somebody")), login(goodPassword, unsignedRequest), true},
		"Never, unsigned":           {v1alpha1.MessageAuthenticatorNever, nil, login(goodPassword, unsignedRequest, proxied), true},
		"Never, wrongly signed":     {v1alpha1.MessageAuthenticatorNever, nil, login(goodPassword, sharing("forged-secret-of-somebody")), false},
		"unknown, unsigned":         {"", nil, login(goodPassword, unsignedRequest), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, requiring(tc.requirement))
			g := l.dial(Authentication)
			if tc.before != nil {
				g.send(tc.before)
				g.receive(silence)
			}
			g.send(tc.request)
			if !tc.wantAnswered {
				if reply := g.receive(silence); reply != nil {
					t.Errorf("answered %x", reply)
				}
				return
			}
			if reply := g.good(g.receive(patience), tc.request); reply.Code != radius.CodeAccessAccept {
				t.Errorf("answered %v", reply.Code)
			}
		})
	}
}

func TestStatusServer(t *testing.T) {
	l := newLab(t)
	for port, want := range map[Port]radius.Code{Authentication: radius.CodeAccessAccept, Accounting: radius.CodeAccountingResponse} {
		if reply := l.dial(port).ask(build(radius.CodeStatusServer)); reply.Code != want || len(reply.Attributes) != 1 {
			t.Errorf("port %d answers %v with %d attributes, want %v", port, reply.Code, len(reply.Attributes), want)
		}
	}
	l.counted("status-server answered", 2)
	if n := len(l.asked()); n != 0 {
		t.Errorf("%d attempts", n)
	}
}

// TestRetransmissions: the same request has the same bytes for an answer and is one attempt, also while the first
// is under way; another request under the same identifier is another.
func TestRetransmissions(t *testing.T) {
	l := newLab(t)
	proceed, arrived := make(chan struct{}), make(chan struct{}, 8)
	check := func(a *authn.Attempt) authn.Result {
		arrived <- struct{}{}
		<-proceed
		return l.admit(a)
	}
	l.change(func() { l.check = check })
	g := l.dial(Authentication)
	first := login(goodPassword, withID(7))
	g.send(first)
	<-arrived
	g.send(first)
	g.send(first)
	l.counted("access-request pending", 2)
	close(proceed)
	reply := g.receive(patience)
	g.good(reply, first)
	if more := g.receive(silence); more != nil {
		t.Errorf("a request under way was answered twice: %x", more)
	}
	for range 3 {
		g.send(first)
		if again := g.receive(patience); !bytes.Equal(again, reply) {
			t.Errorf("sent again, it is answered\n%x, at first\n%x", again, reply)
		}
	}
	l.counted("access-request repeated", 3)
	if n := len(l.asked()); n != 1 {
		t.Errorf("%d attempts of one request", n)
	}
	g.ask(login(goodPassword, withID(7)))
	if n := len(l.asked()); n != 2 {
		t.Errorf("%d attempts of two requests with one identifier", n)
	}
	l.dial(Authentication).ask(first)
	if n := len(l.asked()); n != 3 {
		t.Errorf("%d attempts: the same bytes from another port are another request", n)
	}
}

// TestRejectsAreRepeatedToo: a denial that is held back is sent once, and then as often as it is asked for.
func TestRejectsAreRepeatedToo(t *testing.T) {
	l := newLab(t)
	g := l.dial(Authentication)
	raw := login("wrong")
	g.send(raw)
	reply := g.receive(patience)
	g.send(raw)
	if again := g.receive(patience); reply == nil || !bytes.Equal(reply, again) || len(l.asked()) != 1 {
		t.Errorf("%d attempts, answered\n%x\n%x", len(l.asked()), reply, again)
	}
}

// TestTooManyRequests: beyond the bound they are dropped, and taken up when they are sent again.
func TestTooManyRequests(t *testing.T) {
	l := newLab(t)
	proceed := make(chan struct{})
	l.change(func() { l.check = func(a *authn.Attempt) authn.Result { <-proceed; return l.admit(a) } })
	g := l.dial(Authentication)
	limit := cap(l.handler.slots)
	var last []byte
	for i := range limit + 1 {
		last = login(goodPassword, withID(byte(i+1)))
		g.send(last)
	}
	l.counted("access-request busy", 1)
	close(proceed)
	for range limit {
		if g.receive(patience) == nil {
			t.Fatal("a request that was taken is not answered")
		}
	}
	answered := len(l.asked())
	// Which one was dropped is not known; each that is sent again is answered, by what it was or anew.
	g.ask(last)
	if answered != limit {
		t.Errorf("%d were taken, want %d", answered, limit)
	}
}

// TestStopAnswersWhatIsUnderWay, and takes no more.
func TestStopAnswersWhatIsUnderWay(t *testing.T) {
	l := newLab(t)
	proceed, arrived := make(chan struct{}), make(chan struct{})
	l.change(func() { l.check = func(a *authn.Attempt) authn.Result { close(arrived); <-proceed; return l.admit(a) } })
	g := l.dial(Authentication)
	raw := login(goodPassword)
	g.send(raw)
	<-arrived
	stopped := make(chan struct{})
	go func() { l.stop(); close(stopped) }()
	select {
	case <-stopped:
		t.Error("it stopped with a request under way")
	case <-time.After(silence):
	}
	close(proceed)
	g.good(g.receive(patience), raw)
	<-stopped
}

func TestRepliesThatWouldBeTooLong(t *testing.T) {
	l := newLab(t)
	raw := build(radius.CodeStatusServer, func(r *request) {
		for range 15 {
			r.attributes.Add(rfc2865.ProxyState_Type, make(radius.Attribute, 253))
		}
		r.attributes.Add(rfc2865.ProxyState_Type, make(radius.Attribute, 200))
	})
	l.dial(Authentication).ask(raw) // fits: nothing but the Message-Authenticator is added
	big := login("wrong", func(r *request) {
		r.attributes = r.attributes[:2]
		for range 15 {
			r.attributes.Add(rfc2865.ProxyState_Type, make(radius.Attribute, 253))
		}
		r.attributes.Add(rfc2865.ProxyState_Type, make(radius.Attribute, 150))
	})
	g := l.dial(Authentication)
	g.send(big)
	l.counted("access-request malformed", 1)
	if reply := g.receive(silence); reply != nil {
		t.Errorf("answered %d bytes", len(reply))
	}
}

func TestDuplicatesAreForgotten(t *testing.T) {
	now := time.Unix(1, 0)
	d := newDuplicates(func() time.Time { return now })
	from := netip.MustParseAddrPort("192.0.2.1:1000")
	e, _, fresh := d.begin(from, &packet{id: 1})
	if !fresh {
		t.Fatal("the first is none")
	}
	d.finish(e, []byte("reply"))
	now = now.Add(rememberFor - 1)
	if _, reply, fresh := d.begin(from, &packet{id: 1}); fresh || string(reply) != "reply" {
		t.Errorf("shortly before its time it is fresh %t, reply %q", fresh, reply)
	}
	now = now.Add(1)
	if _, _, fresh := d.begin(from, &packet{id: 1}); !fresh {
		t.Error("after its time it is remembered")
	}
	for i := range 3 * maxRemembered {
		d.begin(netip.AddrPortFrom(from.Addr(), uint16(i/256)), &packet{id: byte(i), authenticator: [16]byte{byte(i >> 16)}})
	}
	if len(d.entries) > maxRemembered || len(d.latest) > maxRemembered {
		t.Errorf("%d entries, %d origins; want at most %d", len(d.entries), len(d.latest), maxRemembered)
	}
}

// FuzzPacket: whatever arrives, the listener does not panic, and answers only what is signed.
func FuzzPacket(f *testing.F) {
	for _, hostile := range hostilePackets() {
		f.Add(hostile.raw)
	}
	f.Add(login(goodPassword))
	f.Add(build(radius.CodeStatusServer))
	f.Add(build(radius.CodeAccountingRequest, withInteger(rfc2866.AcctStatusType_Type, 2), with(rfc2866.AcctSessionID_Type, "a"), with(rfc2865.Class_Type, classPrefix+"x")))
	f.Add(build(radius.CodeAccessRequest, with(rfc2865.UserName_Type, "u"), with(rfc2865.VendorSpecific_Type, "\x00\x00\x00\x09\x01\xff")))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) > maxPacketBytes+1 {
			raw = raw[:maxPacketBytes+1]
		}
		l := newQuietLab(t)
		client := l.clients().ByAddress(netip.MustParseAddr("127.0.0.1"))
		d := Authentication.door()
		for k := range kindOther {
			d.permits[k] = true
		}
		// Once as it is, once as if somebody who shares the secret had made it.
		for _, packet := range [][]byte{raw, signAnew(raw)} {
			before := bytes.Clone(packet)
			replies := make(chan []byte, 1)
			l.handler.receive(context.Background(), d, client, netip.MustParseAddrPort("127.0.0.1:1"), packet, func(reply []byte) { replies <- reply })
			d.underWay.Wait()
			if !bytes.Equal(before, packet) {
				t.Fatal("the buffer was written to")
			}
			select {
			case reply := <-replies:
				if _, err := checkReply(reply, packet, []byte(shared)); err != nil {
					t.Fatalf("%v in the answer %x", err, reply)
				}
			default:
			}
		}
	})
}

// signAnew makes a packet's authenticators right, where it is whole enough to have any.
func signAnew(raw []byte) []byte {
	o, err := look(raw)
	if err != nil {
		return raw
	}
	raw = bytes.Clone(raw[:o.length])
	accounting := radius.Code(raw[0]) == radius.CodeAccountingRequest
	if accounting {
		clear(raw[4:headerBytes])
	}
	if o.signature != 0 {
		sum := signature(raw, o.signature, raw[4:headerBytes], []byte(shared))
		copy(raw[o.signature:], sum[:])
	}
	if accounting {
		sum := requestAuthenticator(raw, []byte(shared))
		copy(raw[4:], sum[:])
	}
	return raw
}
