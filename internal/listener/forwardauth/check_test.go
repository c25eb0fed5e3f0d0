package forwardauth

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tegata-dev/tegata/internal/decision"
	"github.com/tegata-dev/tegata/internal/listenertest"
)

// secret is in what is shown; no answer may hold it.
const secret = "n0b0dy-sh4ll-s33"

func newHandler(s Service) http.Handler {
	return NewHandler(s, Options{MaxWaiting: 64, Metrics: NewMetrics(prometheus.NewRegistry()), CertificateHeader: "x-tegata-client-cert"})
}

func basic(userAndPassword string) string {
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(userAndPassword))
}

func TestCredentials(t *testing.T) {
	const token = listenertest.Token
	for name, tc := range map[string]struct {
		headers    []string
		wantStatus int
		wantLogins int
		wantTokens []string // what CheckSession was asked for
	}{
		"none":                         {nil, 401, 0, nil},
		"bearer":                       {[]string{"Authorization: Bearer " + token}, 200, 0, []string{token}},
		"bearer in capitals":           {[]string{"Authorization: BEARER " + token}, 200, 0, []string{token}},
		"bearer without a token":       {[]string{"Authorization: Bearer "}, 200, 0, []string{""}},
		"cookie":                       {[]string{withCookie(token)}, 200, 0, []string{token}},
		"cookie in a second header":    {[]string{"Cookie: a=b", withCookie(token)}, 200, 0, []string{token}},
		"a cookie of another name":     {[]string{"Cookie: tegata-session=" + token}, 401, 0, nil},
		"a cookie of a similar name":   {[]string{"Cookie: x__Host-tegata-session=" + token}, 401, 0, nil},
		"a cookie in another's value":  {[]string{"Cookie: a=__Host-tegata-session=" + token}, 401, 0, nil},
		"an empty cookie":              {[]string{withCookie("")}, 401, 0, nil},
		"bearer before the cookie":     {[]string{"Authorization: Bearer one", withCookie("two")}, 200, 0, []string{"one"}},
		"the cookie before Basic":      {[]string{basicHeader, withCookie("two")}, 200, 0, []string{"two"}},
		"Basic":                        {[]string{basicHeader}, 200, 1, nil},
		"another scheme":               {[]string{"Authorization: Negotiate " + token}, 401, 0, nil},
		"another scheme and a cookie":  {[]string{"Authorization: Negotiate x", withCookie(token)}, 200, 0, []string{token}},
		"two Authorizations":           {[]string{"Authorization: Bearer one", "Authorization: Bearer two"}, 200, 0, []string{""}},
		"two, with Basic":              {[]string{basicHeader, basicHeader}, 200, 0, []string{""}},
		"the token where it is not":    {[]string{"X-Tegata-Session: " + token, "Proxy-Authorization: Bearer " + token}, 401, 0, nil},
		"what the application is told": {[]string{"X-Tegata-User: hanako", "X-Tegata-Slot: pc"}, 401, 0, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := listenertest.Admitting()
			w := ask(newHandler(s), toAuth(tc.headers...))
			if w.Code != tc.wantStatus || len(s.Logins()) != tc.wantLogins {
				t.Errorf("status %d, %d logins, want %d and %d: %s", w.Code, len(s.Logins()), tc.wantStatus, tc.wantLogins, w.Body)
			}
			var tokens []string
			for _, a := range s.Sessions() {
				tokens = append(tokens, a.Token)
			}
			if diff := cmp.Diff(tc.wantTokens, tokens); diff != "" {
				t.Errorf("tokens (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAdmissionsOfSessions(t *testing.T) {
	w := ask(newHandler(listenertest.Admitting()), toAuth("Authorization: Bearer x"))
	want := http.Header{
		"Cache-Control": {"no-store"}, userHeader: {listenertest.User}, slotHeader: {"pc"}, sessionHeader: {listenertest.SessionID},
	}
	if diff := cmp.Diff(want, w.Header()); diff != "" || w.Body.Len() > 0 {
		t.Errorf("header (-want +got):\n%s\nbody %q", diff, w.Body)
	}
}

// TestBasicLogsInOnce: with the cookie that comes back, the same request costs no hash.
func TestBasicLogsInOnce(t *testing.T) {
	s := listenertest.Admitting()
	h := newHandler(s)
	w := ask(h, toAuth(basicHeader, "X-Tegata-Device: aaaaaaaa"))
	cookies := w.Result().Cookies()
	if w.Code != http.StatusOK || len(cookies) != 1 {
		t.Fatalf("status %d, cookies %v", w.Code, cookies)
	}
	c := cookies[0]
	if c.Name != "__Host-tegata-session" || c.Value != listenertest.Token || c.Path != "/" || c.Domain != "" ||
		!c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode {
		t.Errorf("cookie %s", c.Raw)
	}
	r := toAuth(basicHeader, "X-Tegata-Device: aaaaaaaa")
	r.AddCookie(&http.Cookie{Name: c.Name, Value: c.Value})
	w = ask(h, r)
	if w.Code != http.StatusOK || len(s.Logins()) != 1 || len(s.Sessions()) != 1 || w.Header().Get("Set-Cookie") != "" {
		t.Errorf("status %d, %d logins, %d sessions, Set-Cookie %q", w.Code, len(s.Logins()), len(s.Sessions()), w.Header().Get("Set-Cookie"))
	}
}

func TestAfterAnEndedSessionBasicLogsInAnew(t *testing.T) {
	s := listenertest.Denying(decision.SessionEnded)
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		w := ask(newHandler(s), toAuth(basicHeader, withCookie("old")))
		if w.Code != http.StatusUnauthorized || len(s.Sessions()) != 1 || len(s.Logins()) != 1 || time.Since(start) != listenertest.ResponseTime {
			t.Errorf("status %d after %s, %d sessions, %d logins", w.Code, time.Since(start), len(s.Sessions()), len(s.Logins()))
		}
		if id := s.Logins()[0].ID; !strings.Contains(w.Body.String(), id) {
			t.Errorf("the denial is not the login's, %s: %s", id, w.Body)
		}
	})
}

func TestWhoShowsNothingIsAnsweredAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := listenertest.Denying(decision.SessionInvalid)
		h := newHandler(s)
		start := time.Now()
		nothing := ask(h, toAuth())
		if took := time.Since(start); took != 0 {
			t.Errorf("answered after %s", took)
		}
		if n := len(s.Logins()) + len(s.Sessions()); n != 0 {
			t.Errorf("the service was asked %d times", n)
		}
		// It looks like any other denial.
		denied := ask(h, toAuth("Authorization: Bearer x"))
		if nothing.Code != denied.Code || nothing.Body.Len() != denied.Body.Len() || len(nothing.Header()) != len(denied.Header()) {
			t.Errorf("%s\nis not like\n%s", wire(nothing), wire(denied))
		}
	})
}

func TestBasicThatIsNoLogin(t *testing.T) {
	for name, tc := range map[string]struct {
		headers []string
		want    string
	}{
		"not base64":        {[]string{"Authorization: Basic ?" + secret}, "authorization: the user must have 1 to 512 bytes of UTF-8"},
		"empty":             {[]string{"Authorization: Basic"}, "authorization: the user must have 1 to 512 bytes of UTF-8"},
		"no colon":          {[]string{basic(secret)}, "authorization: the password must have 1 to 256 bytes of UTF-8"},
		"no user":           {[]string{basic(":" + secret)}, "authorization: the user must have 1 to 512 bytes of UTF-8"},
		"no password":       {[]string{basic(secret + ":")}, "authorization: the password must have 1 to 256 bytes of UTF-8"},
		"long user":         {[]string{basic(strings.Repeat("u", 513) + ":" + secret)}, "authorization: the user must have 1 to 512 bytes of UTF-8"},
		"long password":     {[]string{basic("u:" + strings.Repeat("p", 257))}, "authorization: the password must have 1 to 256 bytes of UTF-8"},
		"not UTF-8":         {[]string{basic("u:\xff")}, "authorization: the password must have 1 to 256 bytes of UTF-8"},
		"unknown viewer":    {[]string{basicHeader, "X-Tegata-Viewer: " + secret}, "x-tegata-viewer must be pc, mobile or unbound"},
		"viewer in capital": {[]string{basicHeader, "X-Tegata-Viewer: PC"}, "x-tegata-viewer must be pc, mobile or unbound"},
		"short device":      {[]string{basicHeader, "X-Tegata-Device: short"}, "x-tegata-device: malformed fingerprint: must have 8 to 1024 bytes"},
		"spaces in device":  {[]string{basicHeader, "X-Tegata-Device: " + secret + " x"}, "x-tegata-device: malformed fingerprint: holds white space or control characters"},
	} {
		t.Run(name, func(t *testing.T) {
			s := listenertest.Admitting()
			w := ask(newHandler(s), toAuth(tc.headers...))
			if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), `"detail":"`+tc.want+`"`) {
				t.Errorf("%d %s, want 400 and %s", w.Code, w.Body, tc.want)
			}
			if n := len(s.Logins()) + len(s.Sessions()); n != 0 {
				t.Errorf("the service was asked %d times", n)
			}
			if strings.Contains(w.Body.String(), secret) {
				t.Errorf("the answer quotes a value: %s", w.Body)
			}
		})
	}
}

func TestViewers(t *testing.T) {
	for name, tc := range map[string]struct {
		headers         []string
		want            decision.Viewer
		wantFingerprint bool
	}{
		"pc":                           {[]string{"X-Tegata-Device: aaaaaaaa", "X-Tegata-Viewer: pc"}, decision.ViewerPC, true},
		"mobile":                       {[]string{"X-Tegata-Device: aaaaaaaa", "X-Tegata-Viewer: mobile"}, decision.ViewerMobile, true},
		"unbound":                      {[]string{"X-Tegata-Viewer: unbound"}, decision.ViewerUnbound, false},
		"a device alone":               {[]string{"X-Tegata-Device: aaaaaaaa"}, decision.ViewerPC, true},
		"a browser's box":              {nil, decision.ViewerUnbound, false},
		"a phone that tells no device": {[]string{"X-Tegata-Viewer: mobile"}, decision.ViewerMobile, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := listenertest.Admitting()
			ask(newHandler(s), toAuth(append(tc.headers, basicHeader)...))
			a := s.Logins()[0]
			if a.UserName != "hanako" || string(a.Password) != "pw" || a.Program != decision.ProgramViewer || a.Viewer != tc.want || (a.Fingerprint != nil) != tc.wantFingerprint {
				t.Errorf("asked for %q by viewer %d with fingerprint %v", a.UserName, a.Viewer, a.Fingerprint)
			}
		})
	}
}

// TestDenialsThatWaitLeaveRoomForSessions: there are places for a few that wait, and sessions need none.
func TestDenialsThatWaitLeaveRoomForSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const places = 3
		s := listenertest.Denying(decision.SessionInvalid)
		h := NewHandler(s, Options{MaxWaiting: places, Metrics: NewMetrics(prometheus.NewRegistry())})
		for range places {
			go ask(h, toAuth("Authorization: Bearer bad"))
		}
		synctest.Wait()
		for name, r := range map[string]*http.Request{
			"denied session": toAuth("Authorization: Bearer bad"), "login by Basic": toAuth(basicHeader), "login": newLogin(goodBody),
		} {
			if w := ask(h, r); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") != "1" {
				t.Errorf("%s: %d %s", name, w.Code, w.Body)
			}
		}
		if n := len(s.Logins()); n != 0 {
			t.Errorf("%d logins were asked about without room for their denial", n)
		}
		s.Outcome = decision.Outcome{Verdict: decision.Allow}
		if w := ask(h, toAuth("Authorization: Bearer good")); w.Code != http.StatusOK {
			t.Errorf("a session: %d %s", w.Code, w.Body)
		}
		<-time.After(listenertest.ResponseTime)
		synctest.Wait()
		if w := ask(h, toAuth(basicHeader)); w.Code != http.StatusOK {
			t.Errorf("afterwards: %d %s", w.Code, w.Body)
		}
	})
}

func TestNothingIsWrittenToAGatewayThatIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, hangUp := context.WithTimeout(t.Context(), listenertest.ResponseTime/2)
		defer hangUp()
		h := NewHandler(listenertest.Denying(decision.SessionEnded), Options{MaxWaiting: 1, Metrics: NewMetrics(prometheus.NewRegistry())})
		for range 3 { // each gives its place back
			w := ask(h, toAuth("Authorization: Bearer x").WithContext(ctx))
			if len(w.Header()) > 0 || w.Body.Len() > 0 {
				t.Errorf("wrote %s", wire(w))
			}
		}
	})
}

func TestPathsAndMethods(t *testing.T) {
	for name, tc := range map[string]struct {
		method, path string
		want         int
		wantAllow    string
	}{
		"GET":                    {"GET", "/v1/auth", 200, ""},
		"as the person's method": {"DELETE", "/v1/auth", 200, ""},
		"HEAD":                   {"HEAD", "/v1/auth", 200, ""},
		"a preflight":            {"OPTIONS", "/v1/auth", 200, ""},
		"with a query":           {"GET", "/v1/auth?x=y", 200, ""},
		"a slash behind":         {"GET", "/v1/auth/", 404, ""},
		"two slashes":            {"GET", "//v1/auth", 404, ""},
		"in capitals":            {"GET", "/V1/AUTH", 404, ""},
		"root":                   {"GET", "/", 404, ""},
		"dots":                   {"GET", "/v1/auth/../auth", 404, ""},
		"GET of login":           {"GET", "/v1/auth/login", 405, "POST"},
		"GET of logout":          {"GET", "/v1/auth/logout", 405, "POST"},
		"a login's preflight":    {"OPTIONS", "/v1/auth/login", 405, "POST"},
		"the description":        {"GET", "/openapi.yaml", 200, ""},
		"another listener's":     {"POST", "/v1/login", 404, ""},
		"another listener's end": {"POST", "/v1/sessions/x/end", 404, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := with(httptest.NewRequest(tc.method, tc.path, http.NoBody), "Authorization: Bearer x")
			w := ask(newHandler(listenertest.Admitting()), r)
			if w.Code != tc.want || w.Header().Get("Allow") != tc.wantAllow {
				t.Errorf("%d, Allow %q: %s", w.Code, w.Header().Get("Allow"), w.Body)
			}
			for header := range w.Header() {
				if strings.HasPrefix(header, "Access-Control-") {
					t.Errorf("%s: %s", header, w.Header().Get(header))
				}
			}
		})
	}
}
