package radius

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2869"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/authn"
	"github.com/tegata-dev/tegata/internal/decision"
)

func TestAdmissionIsTold(t *testing.T) {
	l := newLab(t)
	accept := l.dial(Authentication).ask(login(goodPassword, with(rfc2865.ProxyState_Type, "one"), with(rfc2865.ProxyState_Type, "two")))
	if accept.Code != radius.CodeAccessAccept {
		t.Fatalf("answered %v", accept.Code)
	}
	timeout, err := rfc2865.SessionTimeout_Lookup(accept)
	if err != nil || timeout < 3590 || timeout > 3600 {
		t.Errorf("Session-Timeout %d, %v; want that of the session", timeout, err)
	}
	class := rfc2865.Class_GetString(accept)
	if !regexp.MustCompile(`^tegata:[0-9A-Z]{26}:[0-9a-z]+\.[0-9A-Za-z_-]{22}$`).MatchString(class) {
		t.Errorf("Class %q, want the id of the session, a tag and no token", class)
	}
	states, err := rfc2865.ProxyState_GetStrings(accept)
	if diff := cmp.Diff([]string{"one", "two"}, states); diff != "" || err != nil {
		t.Errorf("Proxy-State (-want +got), %v:\n%s", err, diff)
	}
	if n := len(accept.Attributes); n != 5 {
		t.Errorf("%d attributes, want five", n)
	}
	l.counted("access-request accepted", 1)
}

func TestTheAttemptIsRead(t *testing.T) {
	for name, tc := range map[string]struct {
		lab     []labOption
		request []requestOption
		viewer  decision.Viewer
		device  bool
		mac     string
		source  string
	}{
		"a PC": {viewer: decision.ViewerPC, device: true, mac: "00:11:22:aa:bb:cc", source: "198.51.100.7"},
		"a phone": {
			request: []requestOption{without(rfc2865.VendorSpecific_Type), withPair("mdm-tlv=device-platform=Apple-iOS"), withPair("mdm-tlv=device-uid=ABCDEFGH")},
			viewer:  decision.ViewerMobile, device: true, source: "198.51.100.7",
		},
		"nothing told": {
			request: []requestOption{without(rfc2865.VendorSpecific_Type), without(rfc2865.CallingStationID_Type)},
			viewer:  decision.ViewerPC,
		},
		"a device too short to tell": {
			request: []requestOption{without(rfc2865.VendorSpecific_Type), withPair("mdm-tlv=device-uid=short")},
			viewer:  decision.ViewerPC, source: "198.51.100.7",
		},
		"Wi-Fi": {
			lab: []labOption{reading(func(a *v1alpha1.RADIUSAttributes) {
				a.Device = v1alpha1.RADIUSAttribute{Name: "Calling-Station-Id"}
				a.MACAddress = v1alpha1.RADIUSAttribute{Name: "Calling-Station-Id"}
				a.SourceAddress = v1alpha1.RADIUSAttribute{Name: "Tunnel-Client-Endpoint"}
				a.OtherViewer = v1alpha1.ViewerUnbound
			})},
			request: []requestOption{without(rfc2865.CallingStationID_Type), with(rfc2865.CallingStationID_Type, "00-11-22-AA-BB-CC"), with(66, "2001:db8::1")},
			viewer:  decision.ViewerUnbound, device: true, mac: "00:11:22:aa:bb:cc", source: "2001:db8::1",
		},
		"by number": {
			lab: []labOption{reading(func(a *v1alpha1.RADIUSAttributes) {
				a.Device = v1alpha1.RADIUSAttribute{Name: "Attr-26.9.1", Key: "uid"}
			})},
			request: []requestOption{withPair("uid=12345678")},
			viewer:  decision.ViewerPC, device: true, mac: "00:11:22:aa:bb:cc", source: "198.51.100.7",
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, tc.lab...)
			l.dial(Authentication).ask(login(goodPassword, tc.request...))
			got := l.asked()[0]
			var wantSource netip.Addr
			if tc.source != "" {
				wantSource = netip.MustParseAddr(tc.source)
			}
			if got.Listener != "radius" || got.UserName != "hanako" || string(got.Password) != goodPassword || got.Program != decision.ProgramViewer ||
				got.Viewer != tc.viewer || (got.Fingerprint != nil) != tc.device || got.MAC.String() != tc.mac || got.Source != wantSource ||
				got.Destination != "vpn" || len(got.ID) != 26 || time.Since(got.Arrival) > patience {
				t.Errorf("attempt %+v", got)
			}
		})
	}
}

var correlationID = regexp.MustCompile(`[0-7][0-9A-HJKMNP-TV-Z]{25}`)

// TestRejectsLookAlike: whatever was wrong, the reject is the same but for the id, and as late.
func TestRejectsLookAlike(t *testing.T) {
	const responseTime = 300 * time.Millisecond
	want := "You could not be authenticated. If this goes on, tell your administrator the inquiry code and the correlation ID. " +
		"(Inquiry code: 293) (Correlation ID: ~)"
	l := newLab(t)
	l.change(func() { l.shape.ResponseTime = responseTime })
	reasons := decision.Reasons()
	check := func(a *authn.Attempt) authn.Result {
		for _, reason := range reasons {
			if a.UserName == reason.String() {
				return authn.Result{Outcome: decision.Outcome{Verdict: decision.Deny, Reason: reason, Slot: decision.SlotPC}, Enrolled: true, ExpireTime: time.Now()}
			}
		}
		t.Errorf("%q got as far as a check", a.UserName)
		return authn.Result{}
	}
	l.change(func() { l.check = check })
	requests := map[string][]byte{}
	for _, reason := range reasons {
		requests["reason "+reason.String()] = login("wrong", without(rfc2865.UserName_Type), with(rfc2865.UserName_Type, reason.String()))
	}
	noPassword := without(rfc2865.UserPassword_Type)
	msCHAP := func(kind byte) requestOption {
		return with(rfc2865.VendorSpecific_Type, "\x00\x00\x01\x37"+string([]byte{kind, 52})+strings.Repeat("x", 50))
	}
	for name, options := range map[string][]requestOption{
		"CHAP":              {noPassword, with(rfc2865.CHAPPassword_Type, strings.Repeat("c", 17))},
		"CHAP beside PAP":   {with(rfc2865.CHAPPassword_Type, strings.Repeat("c", 17))},
		"MS-CHAP":           {noPassword, msCHAP(msCHAPResponse)},
		"MS-CHAPv2":         {noPassword, msCHAP(msCHAP2Response)},
		"EAP":               {noPassword, with(rfc2869.EAPMessage_Type, "\x02\x01\x00\x0b\x01hanako")},
		"no password":       {noPassword},
		"empty password":    {noPassword, with(passwordType, "")},
		"two passwords":     {with(passwordType, "another")},
		"no name":           {without(rfc2865.UserName_Type)},
		"two names":         {with(rfc2865.UserName_Type, "taro")},
		"name of no UTF-8":  {without(rfc2865.UserName_Type), with(rfc2865.UserName_Type, "\xff\xfe")},
		"empty name":        {without(rfc2865.UserName_Type), with(rfc2865.UserName_Type, "")},
		"NUL in password":   {noPassword, with(passwordType, "a\x00b")},
		"password no UTF-8": {noPassword, with(passwordType, "\xff\xfe\xfd")},
	} {
		requests[name] = login("wrong", options...)
	}
	seen := make(chan string, len(requests))
	for name, raw := range requests {
		g := l.dial(Authentication)
		go func() {
			start := time.Now()
			reply, err := g.exchange(raw)
			took := time.Since(start)
			switch {
			case err != nil:
				seen <- fmt.Sprintf("%s: %v", name, err)
			case took < responseTime:
				seen <- fmt.Sprintf("%s: after %s", name, took)
			case reply.Code != radius.CodeAccessReject || len(reply.Attributes) != 2:
				seen <- fmt.Sprintf("%s: %v with %d attributes", name, reply.Code, len(reply.Attributes))
			default:
				message := rfc2865.ReplyMessage_GetString(reply)
				if got := correlationID.ReplaceAllString(message, "~"); got != want {
					seen <- fmt.Sprintf("%s: %q", name, got)
					return
				}
				seen <- ""
			}
		}()
	}
	for range requests {
		if problem := <-seen; problem != "" {
			t.Error(problem)
		}
	}
	logged := l.logged.String()
	for _, want := range []string{"EAP is not spoken here", "MS-CHAP cannot be checked", "\"problem\"=\"CHAP cannot be checked", "another shared secret"} {
		if !strings.Contains(logged, want) {
			t.Errorf("the log does not say %q", want)
		}
	}
	for _, secret := range []string{shared, "wrong\"", "a\x00b"} {
		if strings.Contains(logged, secret) {
			t.Errorf("the log has %q", secret)
		}
	}
}

// exchange is ask for goroutines.
func (g *gateway) exchange(raw []byte) (*radius.Packet, error) {
	if _, err := g.conn.Write(raw); err != nil {
		return nil, err
	}
	_ = g.conn.SetReadDeadline(time.Now().Add(patience))
	buffer := make([]byte, 5000)
	n, err := g.conn.Read(buffer)
	if err != nil {
		return nil, err
	}
	return checkReply(buffer[:n], raw, []byte(shared))
}

func TestLongMessagesAreCutBetweenCharacters(t *testing.T) {
	l := newLab(t)
	text := strings.Repeat("接続できません。", 64)
	l.change(func() { l.shape.Messages = map[string]string{"en": text} })
	reject := l.dial(Authentication).ask(login("wrong"))
	parts, err := rfc2865.ReplyMessage_GetStrings(reject)
	if err != nil || len(parts) < 6 || !strings.HasPrefix(strings.Join(parts, ""), text+" (Inquiry code: 293) (Correlation ID: ") {
		t.Fatalf("%d parts, %v: %q", len(parts), err, parts)
	}
	for _, part := range parts {
		if strings.ToValidUTF8(part, "") != part {
			t.Errorf("%q is cut within a character", part)
		}
	}
}

func TestPasswordsOfEachLength(t *testing.T) {
	l := newLab(t)
	for _, n := range []int{1, 15, 16, 17, 127, 128} {
		want := strings.Repeat("p", n)
		l.dial(Authentication).ask(login(want))
		asked := l.asked()
		if got := string(asked[len(asked)-1].Password); got != want {
			t.Errorf("password of %d bytes arrived as %q", n, got)
		}
	}
}

func TestHiddenPasswords(t *testing.T) {
	secret, authenticator := []byte(shared), [16]byte{1}
	for name, hidden := range map[string][]byte{"empty": {}, "short": random(15), "odd": random(17), "long": random(144)} {
		if plain, ok := unhide(hidden, secret, authenticator); ok {
			t.Errorf("%s: %q", name, plain)
		}
	}
}
