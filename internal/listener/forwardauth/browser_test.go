package forwardauth

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tegata-dev/tegata/internal/decision"
	"github.com/tegata-dev/tegata/internal/listenertest"
)

const goodBody = `{"user":"hanako","password":"pw","program":"viewer","viewer":"pc","fingerprint":"aaaaaaaa"}`

func newLogin(body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/v1/auth/login", strings.NewReader(body))
	return with(r, "Content-Type: application/json")
}

func newLogout(headers ...string) *http.Request {
	return with(httptest.NewRequest(http.MethodPost, "/v1/auth/logout", http.NoBody), append(headers, "Content-Type: application/json")...)
}

func TestBrowsersLogin(t *testing.T) {
	s := listenertest.Admitting()
	w := ask(newHandler(s), newLogin(goodBody))
	want := `{"slot":"pc","enrolled":false,"passwordSaving":{"login":true,"windows":false},"expireTime":"2026-11-15T10:17:00Z",` +
		`"session":{"id":"` + listenertest.SessionID + `"},"correlationID":"` + s.Logins()[0].ID + "\"}\n"
	if w.Code != http.StatusOK || w.Body.String() != want {
		t.Errorf("%d %s\nwant %s", w.Code, w.Body, want)
	}
	if w.Header().Get("Cache-Control") != "no-store" || cookieOf(w) != listenertest.Token {
		t.Errorf("header %v", w.Header())
	}
}

func TestTheCookieLastsAsLongAsTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		<-time.After(time.Until(listenertest.ExpireTime.Add(-90 * time.Second)))
		w := ask(newHandler(listenertest.Admitting()), newLogin(goodBody))
		if got, want := w.Header().Get("Set-Cookie"), "__Host-tegata-session="+listenertest.Token+"; Path=/; Max-Age=90; Secure; HttpOnly; SameSite=Lax"; got != want {
			t.Errorf("Set-Cookie: %s\nwant        %s", got, want)
		}
	})
}

func TestBodiesThatAreNoLogin(t *testing.T) {
	for name, tc := range map[string]struct {
		body, contentType string
		want              int
	}{
		"half":          {goodBody[:30], "application/json", 400},
		"no user":       {`{"password":"` + secret + `","program":"client"}`, "application/json", 400},
		"unknown field": {`{"` + secret + `":1}`, "application/json", 400},
		"large":         {strings.Repeat(secret, 1000), "application/json", 413},
		"a form":        {"user=hanako&password=" + secret, "application/x-www-form-urlencoded", 415},
		"JSON as text":  {goodBody, "text/plain", 415},
		"no type":       {goodBody, "", 415},
	} {
		t.Run(name, func(t *testing.T) {
			s := listenertest.Admitting()
			r := newLogin(tc.body)
			r.Header.Set("Content-Type", tc.contentType)
			w := ask(newHandler(s), r)
			if w.Code != tc.want || len(s.Logins()) != 0 || strings.Contains(w.Body.String(), secret) || w.Header().Get("Set-Cookie") != "" {
				t.Errorf("%d %s, %d logins, header %v", w.Code, w.Body, len(s.Logins()), w.Header())
			}
		})
	}
}

// TestPagesOfOthers: what another site has the browser of a visitor send neither logs in nor out.
func TestPagesOfOthers(t *testing.T) {
	for name, tc := range map[string]struct {
		headers []string
		want    bool
	}{
		"a program":                         {nil, true},
		"the page itself":                   {[]string{"Sec-Fetch-Site: same-origin", "Origin: https://app.example.com"}, true},
		"the page, an old browser":          {[]string{"Origin: https://app.example.com"}, true},
		"typed":                             {[]string{"Sec-Fetch-Site: none"}, true},
		"another site":                      {[]string{"Sec-Fetch-Site: cross-site", "Origin: https://evil.example"}, false},
		"another site, an old browser":      {[]string{"Origin: https://evil.example"}, false},
		"another host of the same site":     {[]string{"Sec-Fetch-Site: same-site", "Origin: https://other.example.com"}, false},
		"another port":                      {[]string{"Origin: https://app.example.com:8443"}, false},
		"a sandboxed frame":                 {[]string{"Origin: null"}, false},
		"a forged Host in X-Forwarded-Host": {[]string{"Origin: https://evil.example", "X-Forwarded-Host: evil.example"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := listenertest.Admitting()
			h := newHandler(s)
			for _, r := range []*http.Request{newLogin(goodBody), newLogout(withCookie(listenertest.Token))} {
				r.Host = "app.example.com"
				w := ask(h, with(r, tc.headers...))
				if got := w.Code < 300; got != tc.want || (!got && w.Code != http.StatusForbidden) {
					t.Errorf("%s: %d %s", r.URL.Path, w.Code, w.Body)
				}
			}
			if got := len(s.Logins()) == 1 && len(s.Ended()) == 1; got != tc.want || (!tc.want && len(s.Logins())+len(s.Ended()) > 0) {
				t.Errorf("%d logins, %d sessions ended", len(s.Logins()), len(s.Ended()))
			}
		})
	}
}

func TestLogout(t *testing.T) {
	const cleared = "__Host-tegata-session=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax"
	for name, tc := range map[string]struct {
		headers    []string
		want       int
		wantCookie string
		wantEnded  int
		wantAfter  time.Duration
	}{
		"cookie":            {[]string{withCookie(listenertest.Token)}, 204, cleared, 1, 0},
		"bearer":            {[]string{"Authorization: Bearer " + listenertest.Token}, 204, cleared, 1, 0},
		"nobody":            {nil, 204, cleared, 0, 0},
		"another token":     {[]string{withCookie("x")}, 401, "", 0, listenertest.ResponseTime},
		"an unreadable one": {[]string{"Authorization: Bearer a", "Authorization: Bearer b"}, 401, "", 0, listenertest.ResponseTime},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := listenertest.Denying(decision.SessionInvalid)
				start := time.Now()
				w := ask(newHandler(s), newLogout(tc.headers...))
				if w.Code != tc.want || w.Header().Get("Set-Cookie") != tc.wantCookie || len(s.Ended()) != tc.wantEnded || time.Since(start) != tc.wantAfter {
					t.Errorf("after %s: %s\nended %v", time.Since(start), wire(w), s.Ended())
				}
			})
		})
	}
}

func TestLogoutIsNoForm(t *testing.T) {
	s := listenertest.Admitting()
	for _, contentType := range []string{"", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain"} {
		r := newLogout(withCookie(listenertest.Token))
		r.Header.Set("Content-Type", contentType)
		if w := ask(newHandler(s), r); w.Code != http.StatusUnsupportedMediaType || len(s.Ended()) > 0 {
			t.Errorf("%q: %d, ended %v", contentType, w.Code, s.Ended())
		}
	}
}

func TestDenialInAHeaderIsASCII(t *testing.T) {
	for body, want := range map[string]string{
		"{\"detail\":\"認証 é\"}\n": `{"detail":"\u8a8d\u8a3c \u00e9"}`,
		"\"😀\\u0041\"\n\n":        `"\ud83d\ude00\u0041"`,
		"":                        "",
	} {
		if diff := cmp.Diff(want, inHeader([]byte(body))); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}
