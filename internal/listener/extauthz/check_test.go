package extauthz

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/tegata-dev/tegata/internal/authn"
	"github.com/tegata-dev/tegata/internal/bearer"
	"github.com/tegata-dev/tegata/internal/decision"
)

// seen is a CheckResponse as Envoy acts on it.
type seen struct {
	Status  codes.Code
	HTTP    int
	Body    string
	Headers map[string]string // set, of the request or of the reply that Envoy makes
	Removed []string
	Added   map[string]string // to the reply to the person
}

func see(t *testing.T, r *authv3.CheckResponse) seen {
	t.Helper()
	ok, denied := r.GetOkResponse(), r.GetDeniedResponse()
	s := seen{
		Status: codes.Code(r.GetStatus().GetCode()), HTTP: int(denied.GetStatus().GetCode()), Body: denied.GetBody(), //nolint:gosec // it is one of few
		Removed: ok.GetHeadersToRemove(),
		Headers: map[string]string{}, Added: map[string]string{},
	}
	for _, h := range append(ok.GetHeaders(), denied.GetHeaders()...) {
		if h.GetAppendAction() != corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD {
			t.Errorf("%s is not overwritten", h)
		}
		s.Headers[h.GetHeader().GetKey()] = h.GetHeader().GetValue()
	}
	for _, h := range ok.GetResponseHeadersToAdd() {
		s.Added[h.GetHeader().GetKey()] = h.GetHeader().GetValue()
	}
	return s
}

// admittedWith is what an admission of the good token looks like, with more that is removed.
func admittedWith(removed ...string) seen {
	return seen{
		Headers: map[string]string{"x-tegata-user": "hanako", "x-tegata-slot": "pc", "x-tegata-session": sessionID},
		Removed: append([]string{"x-tegata-device", "x-tegata-viewer"}, removed...),
		Added:   map[string]string{},
	}
}

func (s seen) setting(key, value string) seen {
	s.Headers = maps.Clone(s.Headers)
	s.Headers[key] = value
	return s
}

func TestSessionsAreAdmitted(t *testing.T) {
	const shown = bearer.CookieName + "=" + goodToken
	for name, tc := range map[string]struct {
		request *authv3.CheckRequest
		want    seen
	}{
		"bearer token":              {fromEnvoy(bearing(goodToken)), admittedWith("authorization")},
		"scheme in another case":    {fromEnvoy(map[string]string{"authorization": "bEARER  " + goodToken + " "}), admittedWith("authorization")},
		"name in another case":      {fromEnvoy(map[string]string{"Authorization": "Bearer " + goodToken}), admittedWith("authorization")},
		"cookie":                    {fromEnvoy(map[string]string{"cookie": shown}), admittedWith("cookie")},
		"cookie among others":       {fromEnvoy(map[string]string{"cookie": "a=b; " + shown + "; c=\"d\""}), admittedWith().setting("cookie", "a=b; c=\"d\"")},
		"cookie, twice":             {fromEnvoy(map[string]string{"cookie": shown + ";" + shown + ";c=d"}), admittedWith().setting("cookie", "c=d")},
		"raw headers":               {rawFromEnvoy("authorization", "Bearer "+goodToken), admittedWith("authorization")},
		"raw headers, two cookies":  {rawFromEnvoy("cookie", "a=b", "cookie", shown), admittedWith().setting("cookie", "a=b")},
		"the others' cookie is raw": {rawFromEnvoy("cookie", "a=\xe9", "authorization", "Bearer "+goodToken), admittedWith("authorization")},
		"bearer before cookie": {
			fromEnvoy(map[string]string{"authorization": "Bearer " + goodToken, "cookie": bearer.CookieName + "=bad"}), admittedWith("authorization", "cookie"),
		},
		"cookie before basic": {fromEnvoy(map[string]string{"authorization": "Basic dGFybzp4", "cookie": shown}), admittedWith("authorization", "cookie")},
		"the application's own scheme": {
			fromEnvoy(map[string]string{"authorization": "Digest x", "cookie": shown}), admittedWith("cookie"),
		},
		"headers that only the sidecar sets": {
			fromEnvoy(map[string]string{
				"authorization": "Bearer " + goodToken, "x-tegata-user": "eve", "X-Tegata-Session": "eve", "x_tegata_user": "eve", "X-TEGATA_slot": "eve",
				"x-tegata": "not reserved", "x-tegata-device": "a-device",
			}), admittedWith("authorization", "X-TEGATA_slot", "x_tegata_user"),
		},
		"60 KiB of headers":     {fromEnvoy(merge(bearing(goodToken), map[string]string{"x-large": strings.Repeat("x", 60<<10)})), admittedWith("authorization")},
		"60 KiB of raw headers": {rawFromEnvoy("authorization", "Bearer "+goodToken, "x-large", strings.Repeat("\xff", 60<<10)), admittedWith("authorization")},
		"a path of 60 KiB":      {withPath(fromEnvoy(bearing(goodToken)), "/"+strings.Repeat("p", 60<<10)), admittedWith("authorization")},
		"cookies of 60 KiB":     {fromEnvoy(map[string]string{"cookie": "a=" + strings.Repeat("b", 60<<10) + "; " + shown}), admittedWith().setting("cookie", "a="+strings.Repeat("b", 60<<10))},
	} {
		t.Run(name, func(t *testing.T) {
			service := newFakeService()
			got := see(t, serve(t, Options{Service: service}).check(tc.request))
			sortRemoved := cmp.Transformer("set", func(names []string) map[string]int {
				set := map[string]int{}
				for _, n := range names {
					set[n]++
				}
				return set
			})
			if diff := cmp.Diff(tc.want, got, cmp.FilterPath(func(p cmp.Path) bool { return p.String() == "Removed" }, sortRemoved)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if _, logins := service.asked(); len(logins) > 0 {
				t.Errorf("%d logins", len(logins))
			}
		})
	}
}

func merge(parts ...map[string]string) map[string]string {
	all := map[string]string{}
	for _, m := range parts {
		maps.Copy(all, m)
	}
	return all
}

func withPath(r *authv3.CheckRequest, path string) *authv3.CheckRequest {
	r.Attributes.Request.Http.Path = path
	r.Attributes.Request.Http.Headers[":path"] = path
	return r
}

func TestASessionWithoutASlotHasNoSlotHeader(t *testing.T) {
	service := newFakeService()
	admit := service.session
	service.session = func(ctx context.Context, a authn.SessionAttempt) authn.SessionResult {
		r := admit(ctx, a)
		r.Slot = decision.SlotNone
		return r
	}
	got := see(t, serve(t, Options{Service: service}).check(fromEnvoy(merge(bearing(goodToken), map[string]string{"x-tegata-slot": "pc"}))))
	want := admittedWith()
	delete(want.Headers, "x-tegata-slot")
	want.Removed = []string{"x-tegata-slot", "x-tegata-device", "x-tegata-viewer", "authorization"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

var correlationID = regexp.MustCompile(`"correlationID":"[0-7][0-9A-HJKMNP-TV-Z]{25}"`)

// blank takes the one thing out of a denial in which denials may differ.
func blank(t *testing.T, s seen) string {
	t.Helper()
	if n := len(correlationID.FindAllString(s.Body, -1)); n != 1 {
		t.Fatalf("%d correlation ids in %q, want 1", n, s.Body)
	}
	s.Body = correlationID.ReplaceAllString(s.Body, "~")
	return fmt.Sprintf("%+v", s)
}

func TestDenialsAreByteIdenticalForEveryReason(t *testing.T) {
	const words = `{"type":"https://tegata.dev/problems/login-denied","title":"Login refused","status":401,` +
		`"detail":"You could not be authenticated. If this goes on, tell your administrator the inquiry code and the correlation ID. (Inquiry code: 293)","code":293,~}` + "\n"
	want := fmt.Sprintf("%+v", seen{
		Status: codes.Unauthenticated, HTTP: 401, Body: words, Added: map[string]string{},
		Headers: map[string]string{
			"content-type": "application/problem+json", "www-authenticate": "Tegata", "content-language": "en", "cache-control": "no-store",
		},
	})
	service := newFakeService()
	s := serve(t, Options{Service: service})
	for _, reason := range append(decision.Reasons(), decision.ReasonNone) {
		service.session = func(context.Context, authn.SessionAttempt) authn.SessionResult { return denySession(reason) }
		service.login = func(context.Context, *authn.Attempt) authn.Result {
			return authn.Result{
				Outcome: decision.Outcome{Reason: reason, Slot: decision.SlotMobile}, Enrolled: true, ExpireTime: time.Now(), Token: "leftover",
				PasswordSaving: authn.PasswordSaving{Login: true},
			}
		}
		for way, headers := range map[string]map[string]string{
			"bearer": bearing("t"), "empty bearer": {"authorization": "Bearer"}, "cookie": {"cookie": bearer.CookieName + "=t"},
			"basic": {"authorization": "Basic dGFybzp4"}, "cookie and basic": {"cookie": bearer.CookieName + "=t", "authorization": "basic dGFybzp4"},
			"nothing": {}, "an empty cookie": {"cookie": bearer.CookieName + "="}, "another scheme": {"authorization": "Negotiate x"},
		} {
			if got := blank(t, see(t, s.check(fromEnvoy(headers)))); got != want {
				t.Errorf("%s, %s: answered\n%s\nwant\n%s", reason, way, got, want)
			}
		}
	}
	if got := blank(t, see(t, s.check(rawFromEnvoy("authorization", "Bearer good-token", "authorization", "Bearer x")))); got != want {
		t.Errorf("two credentials: answered %s", got)
	}
}

func TestDenialsSpeakTheLanguageOfThePerson(t *testing.T) {
	s := serve(t, Options{Service: newFakeService()})
	for name, r := range map[string]*authv3.CheckRequest{
		"map":  fromEnvoy(merge(bearing("x"), map[string]string{"accept-language": "ja-JP,ja;q=0.9"})),
		"list": rawFromEnvoy("authorization", "Bearer x", "Accept-Language", "ja"),
	} {
		if got := see(t, s.check(r)); got.Headers["content-language"] != "ja" || !strings.Contains(got.Body, "認証できませんでした") {
			t.Errorf("%s: answered %v", name, got)
		}
	}
}

func TestTheDenialsIDIsTheOneInTheLog(t *testing.T) {
	service := newFakeService()
	service.session = func(context.Context, authn.SessionAttempt) authn.SessionResult {
		return authn.SessionResult{ID: "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}
	}
	if got := see(t, serve(t, Options{Service: service}).check(fromEnvoy(bearing("x")))); !strings.Contains(got.Body, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") {
		t.Errorf("answered %v", got)
	}
}

func TestBasicLogsIn(t *testing.T) {
	const basic = "Basic dGFybzpjb3JyZWN0IGhvcnNl" // taro:correct horse
	service := newFakeService()
	s := serve(t, Options{Service: service})
	got := see(t, s.check(fromEnvoy(map[string]string{
		"authorization": basic, "x-tegata-device": "taro-new-phone-a1d7", "x-tegata-viewer": "mobile", "cookie": "a=b; " + bearer.CookieName + "=old",
	})))
	want := seen{
		Headers: map[string]string{"x-tegata-user": "taro", "x-tegata-slot": "mobile", "x-tegata-session": "01K9YYYYYY0000000000000000", "cookie": "a=b"},
		Removed: []string{"x-tegata-device", "x-tegata-viewer", "authorization"},
		Added:   map[string]string{"set-cookie": "__Host-tegata-session=new-token; Path=/; Max-Age=3629; Secure; HttpOnly; SameSite=Lax"},
	}
	got.Added["set-cookie"] = strings.Replace(got.Added["set-cookie"], "=3630;", "=3629;", 1) // a clock goes on
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	_, logins := service.asked()
	if len(logins) != 1 {
		t.Fatalf("%d logins, want 1", len(logins))
	}
	a := logins[0]
	if a.UserName != "taro" || a.Program != decision.ProgramViewer || a.Viewer != decision.ViewerMobile || a.Listener != "extauthz" ||
		a.Fingerprint == nil || a.Arrival.IsZero() || len(a.ID) != 26 || a.Source != netip.MustParseAddr("203.0.113.9") {
		t.Errorf("asked %+v", a)
	}
	if again := see(t, s.check(fromEnvoy(map[string]string{"authorization": "Basic dGFybzp3cm9uZw=="}))); again.HTTP != 401 {
		t.Errorf("a wrong password is answered %v", again)
	}
}

func TestMalformedLoginsAreToldSo(t *testing.T) {
	const basic = "Basic dGFybzpjb3JyZWN0IGhvcnNl"
	for name, tc := range map[string]struct {
		headers map[string]string
		want    string
	}{
		"no base64":     {map[string]string{"authorization": "Basic %%%"}, "authorization: the user must have 1 to 512 bytes of UTF-8"},
		"no colon":      {map[string]string{"authorization": "Basic dGFybw=="}, "authorization: the password must have 1 to 256 bytes of UTF-8"},
		"no UTF-8":      {map[string]string{"authorization": "Basic /zp4"}, "authorization: the user must have 1 to 512 bytes of UTF-8"},
		"short device":  {map[string]string{"authorization": basic, "x-tegata-device": "n0body"}, "x-tegata-device: malformed fingerprint: must have 8 to 1024 bytes"},
		"other viewer":  {map[string]string{"authorization": basic, "x-tegata-viewer": "n0body"}, "x-tegata-viewer must be pc, mobile or unbound"},
		"10 KiB of it":  {map[string]string{"authorization": "Basic " + strings.Repeat("QUFB", 10<<10/4)}, "authorization: the user must have 1 to 512 bytes of UTF-8"},
		"long password": {map[string]string{"authorization": "Basic " + base64.StdEncoding.EncodeToString([]byte("x:"+strings.Repeat("p", 257)))}, "authorization: the password must have 1 to 256 bytes of UTF-8"},
	} {
		t.Run(name, func(t *testing.T) {
			service := newFakeService()
			s := serve(t, Options{Service: service})
			got := see(t, s.check(fromEnvoy(tc.headers)))
			var problem struct{ Type, Detail string }
			if err := json.Unmarshal([]byte(got.Body), &problem); err != nil {
				t.Fatal(err)
			}
			if got.Status != codes.InvalidArgument || got.HTTP != 400 || problem.Detail != tc.want || got.Headers["content-type"] != "application/problem+json" {
				t.Errorf("answered %+v", got)
			}
			if _, logins := service.asked(); len(logins) > 0 || s.failures(causeInvalid) != 1 {
				t.Errorf("%d logins, want none; %v counted", len(logins), s.failures(causeInvalid))
			}
		})
	}
}

func TestOriginIsBelievedFromTrustedProxiesOnly(t *testing.T) {
	_, encoded := clientCertificate(t, time.Hour)
	basic := map[string]string{"authorization": "Basic dGFybzpjb3JyZWN0IGhvcnNl", "x-tegata-device": "a-device-of-taro"}
	for name, tc := range map[string]struct {
		trusted   string
		from      string
		forwarded string
		want      string
		wantKind  string
	}{
		"the peer of a trusted Envoy":      {"127.0.0.0/8", "203.0.113.9", "", "203.0.113.9", "Certificate"},
		"what the peer forwards":           {"127.0.0.0/8", "203.0.113.9", "192.0.2.1", "203.0.113.9", "Certificate"},
		"a proxy before a trusted Envoy":   {"0.0.0.0/0", "10.1.2.3", "", "10.1.2.3", "Certificate"},
		"what a trusted proxy forwards":    {"127.0.0.0/8,10.0.0.0/8", "10.1.2.3", "192.0.2.1, 198.51.100.7,10.9.9.9", "198.51.100.7", "Certificate"},
		"what nobody can read":             {"127.0.0.0/8,10.0.0.0/8", "10.1.2.3", "192.0.2.1, unknown", "invalid IP", "Certificate"},
		"IPv4 in IPv6":                     {"127.0.0.0/8", "::ffff:203.0.113.9", "", "203.0.113.9", "Certificate"},
		"an address that is none":          {"127.0.0.0/8", "internal", "", "invalid IP", "Certificate"},
		"an Envoy that nobody trusts":      {"10.0.0.0/8", "203.0.113.9", "192.0.2.1", "127.0.0.1", "Opaque"},
		"an Envoy while nobody is trusted": {"", "203.0.113.9", "", "127.0.0.1", "Opaque"},
	} {
		t.Run(name, func(t *testing.T) {
			service := newFakeService()
			service.policy.TrustedProxies = nil
			for cidr := range strings.SplitSeq(tc.trusted, ",") {
				if cidr != "" {
					service.policy.TrustedProxies = append(service.policy.TrustedProxies, netip.MustParsePrefix(cidr))
				}
			}
			headers := merge(basic, map[string]string{"cookie": bearer.CookieName + "=bad"})
			if tc.forwarded != "" {
				headers["x-forwarded-for"] = tc.forwarded
			}
			serve(t, Options{Service: service}).check(withCertificate(from(fromEnvoy(headers), tc.from), encoded))
			sessions, logins := service.asked()
			if len(sessions) != 1 || len(logins) != 1 {
				t.Fatalf("%d sessions and %d logins, want one each", len(sessions), len(logins))
			}
			if got := sessions[0].Source.String(); got != tc.want {
				t.Errorf("the session is from %s, want %s", got, tc.want)
			}
			if got := logins[0].Source.String(); got != tc.want {
				t.Errorf("the login is from %s, want %s", got, tc.want)
			}
			if got := string(logins[0].Fingerprint.Kind()); got != tc.wantKind {
				t.Errorf("the device is told by %s, want %s", got, tc.wantKind)
			}
		})
	}
}

func TestARequestOfNothingIsDenied(t *testing.T) {
	s := serve(t, Options{Service: newFakeService()})
	for name, r := range map[string]*authv3.CheckRequest{
		"empty": {}, "no source": {Attributes: &authv3.AttributeContext{}}, "TCP": {Attributes: &authv3.AttributeContext{
			Source: &authv3.AttributeContext_Peer{Address: socket("203.0.113.9", 1)},
		}},
	} {
		if got := see(t, s.check(r)); got.HTTP != 401 {
			t.Errorf("%s: answered %v", name, got)
		}
	}
	if got := s.failures(causeNoCredential); got != 3 {
		t.Errorf("%v requests without a credential were counted, want 3", got)
	}
}

// TestExpiredCertificates: an Envoy that does not verify certificates tells them all the same.
func TestExpiredCertificates(t *testing.T) {
	service := newFakeService()
	service.policy = &authn.Policy{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	_, encoded := clientCertificate(t, -time.Minute)
	s := serve(t, Options{Service: service})
	response := s.check(withCertificate(fromEnvoy(map[string]string{"authorization": "Basic dGFybzpjb3JyZWN0IGhvcnNl"}), encoded))
	if got := response.GetDeniedResponse().GetStatus().GetCode(); got != 400 || s.failures(causeInvalid) != 1 {
		t.Errorf("answered %d, %v were counted invalid; want 400 and 1", got, s.failures(causeInvalid))
	}
}

func TestNoSecretIsLoggedOrAnswered(t *testing.T) {
	const secret = "n0b0dy-sh4ll-s33"
	var logged logBuffer
	service := newFakeService()
	service.policy = nil
	s := serve(t, Options{Service: service, Log: logged.logger()})
	for _, headers := range []map[string]string{
		bearing(secret), {"cookie": bearer.CookieName + "=" + secret}, {"authorization": secret}, {"authorization": "Basic " + secret},
		{"authorization": "Basic dGFybzpjb3JyZWN0IGhvcnNl", "x-tegata-device": secret + " "}, {"authorization": "Basic dGFybzp4", "x-tegata-viewer": secret},
	} {
		response := s.check(withCertificate(fromEnvoy(headers), secret))
		if strings.Contains(response.String(), secret) {
			t.Errorf("answered %s", response)
		}
	}
	if strings.Contains(logged.String(), secret) {
		t.Errorf("logged %s", logged.String())
	}
	if !strings.Contains(logged.String(), "trustedProxies") {
		t.Error("that the caller is not trusted was not logged")
	}
}

func TestRepliesAreAsTheirPublishedTypeEncodesThem(t *testing.T) {
	for _, n := range []int{0, 1, 40, 100, 127, 128, 300, 3000, 20000, 70000} {
		a := admission{user: strings.Repeat("u", min(n, 253)), slot: "pc", session: sessionID, setCookie: strings.Repeat("c", n)}
		r := &request{}
		encoded := r.admit(a).encoded
		var got authv3.CheckResponse
		if err := proto.Unmarshal(encoded.ReadOnlyData(), &got); err != nil {
			t.Fatal(err)
		}
		encoded.Free()
		s := see(t, &got)
		if s.Headers["x-tegata-user"] != a.user || s.Added["set-cookie"] != a.setCookie && n > 0 {
			t.Errorf("%d bytes: %v", n, s)
		}
	}
}
