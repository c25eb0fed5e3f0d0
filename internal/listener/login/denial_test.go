package login

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tegata-dev/tegata/internal/authn"
	"github.com/tegata-dev/tegata/internal/decision"
	"github.com/tegata-dev/tegata/internal/httpserver"
)

var (
	dateHeader    = regexp.MustCompile(`\r\nDate: [A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT\r\n`)
	correlationID = regexp.MustCompile(`"correlationID":"[0-7][0-9A-HJKMNP-TV-Z]{25}"`)
)

// blank takes out of a raw answer the two things in which denials may differ.
func blank(t *testing.T, answer string) string {
	t.Helper()
	for _, variable := range []*regexp.Regexp{dateHeader, correlationID} {
		if n := len(variable.FindAllString(answer, -1)); n != 1 {
			t.Fatalf("%d matches of %s in %q, want 1", n, variable, answer)
		}
		answer = variable.ReplaceAllString(answer, "~")
	}
	return answer
}

// denials are all reasons, each with as much in its result as could ever leak.
func denials() map[string]authn.Result {
	all := make(map[string]authn.Result)
	for _, reason := range append(decision.Reasons(), decision.ReasonNone) {
		for _, slot := range []decision.Slot{decision.SlotPC, decision.SlotMobile, decision.SlotNone} {
			outcome := decision.Outcome{Verdict: decision.Deny, Reason: reason, Slot: slot}
			all[fmt.Sprintf("%s/%s", reason, slot)] = authn.Result{Outcome: outcome}
			all[fmt.Sprintf("%s/%s with leftovers", reason, slot)] = authn.Result{
				Outcome: outcome, Enrolled: true, ExpireTime: time.Now(),
				PasswordSaving: authn.PasswordSaving{Login: true, Windows: true},
			}
		}
	}
	return all
}

func TestDenialsAreByteIdenticalForEveryReason(t *testing.T) {
	const englishWords = `{"type":"https://tegata.dev/problems/login-denied","title":"Login refused","status":401,` +
		`"detail":"You could not be authenticated. If this goes on, tell your administrator the inquiry code and the correlation ID. (Inquiry code: 293)","code":293,~}`
	const japaneseWords = `{"type":"https://tegata.dev/problems/login-denied","title":"認証エラー","status":401,` +
		`"detail":"認証できませんでした。解決しない場合は、お問い合わせコードと照会番号を管理者にお伝えください。(お問い合わせコード:293)","code":293,~}`
	all := denials()
	service := denying(decision.UnknownUser)
	service.check = func(_ context.Context, a *authn.Attempt) authn.Result { return all[a.UserName] }
	s := serve(t, httpserver.Options{Handler: NewHandler(service)})
	for name, tc := range map[string]struct {
		headers  []string
		wantLang string
		wantBody string
	}{
		"English":              {[]string{"Accept-Language: en"}, "en", englishWords},
		"Japanese":             {[]string{"Accept-Language: ja"}, "ja", japaneseWords},
		"a browser of Japan":   {[]string{"Accept-Language: ja-JP,ja;q=0.9,en-US;q=0.8,en;q=0.7"}, "ja", japaneseWords},
		"English before":       {[]string{"Accept-Language: ja;q=0.1, en-GB;q=0.9"}, "en", englishWords},
		"none":                 {nil, "en", englishWords},
		"empty":                {[]string{"Accept-Language:"}, "en", englishWords},
		"any":                  {[]string{"Accept-Language: *"}, "en", englishWords},
		"one that we lack":     {[]string{"Accept-Language: fr-CA, sw"}, "en", englishWords},
		"garbage":              {[]string{"Accept-Language: ;;q=,\xff--{{,ja;q=x"}, "en", englishWords},
		"10 KiB, ja in it":     {[]string{"Accept-Language: ja," + strings.Repeat("de,", 10<<10/3)}, "en", englishWords},
		"10 KiB of hyphens":    {[]string{"Accept-Language: " + strings.Repeat("a-", 5<<10)}, "en", englishWords},
		"repeated, first wins": {[]string{"Accept-Language: ja", "Accept-Language: en"}, "ja", japaneseWords},
	} {
		t.Run(name, func(t *testing.T) {
			seen := make(map[string]string)
			for user := range all {
				body := fmt.Sprintf(`{"user":%q,"password":"pw","program":"viewer","viewer":"pc"}`, user)
				seen[blank(t, s.send(post(body, tc.headers...)))] = user
			}
			if len(seen) != 1 {
				t.Fatalf("%d different denials, want 1:\n%v", len(seen), seen)
			}
			for raw := range seen {
				assertDenial(t, raw, tc.wantLang, tc.wantBody)
			}
		})
	}
}

func assertDenial(t *testing.T, raw, wantLang, wantBody string) {
	t.Helper()
	header, body, _ := strings.Cut(raw, "\r\n\r\n")
	lines := strings.Split(header, "\r\n")
	want := []string{
		"HTTP/1.1 401 Unauthorized",
		"Cache-Control: no-store",
		"Content-Language: " + wantLang,
		fmt.Sprintf("Content-Length: %d", len(wantBody)+len("\n")-len("~")+len(`"correlationID":""`)+26),
		"Content-Type: application/problem+json",
		"Www-Authenticate: Tegata~Connection: close",
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("header (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(wantBody+"\n", body); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}
}

func TestDenialFollowsThePolicy(t *testing.T) {
	service := denying(decision.PasswordMismatch)
	h := NewHandler(service)
	for _, code := range []int{293, 7} {
		service.denial = authn.Denial{Code: code, ResponseTime: time.Millisecond}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, newLogin(goodBody))
		if want := fmt.Sprintf(`"code":%d,`, code); !strings.Contains(w.Body.String(), want) {
			t.Errorf("answered %s, want %s", w.Body, want)
		}
	}
}

func TestAdmissionIsTold(t *testing.T) {
	const id = `"session":{"id":"01K9ZZZZZZ0000000000000000","token":"good-token"},"correlationID":"~"`
	for name, tc := range map[string]struct {
		result authn.Result
		want   string
	}{
		"bound device": {
			authn.Result{
				Outcome:    decision.Outcome{Verdict: decision.Allow, Slot: decision.SlotMobile},
				ExpireTime: time.Date(2026, 11, 15, 19, 17, 0, 987654321, time.FixedZone("JST", 9*60*60)),
			},
			`{"slot":"mobile","enrolled":false,"passwordSaving":{"login":false,"windows":false},"expireTime":"2026-11-15T10:17:00Z",` + id + "}\n",
		},
		"first login": {
			authn.Result{
				Outcome: decision.Outcome{Verdict: decision.Enroll, Slot: decision.SlotPC}, Enrolled: true,
				ExpireTime:     time.Date(2026, 11, 15, 10, 17, 0, 0, time.UTC),
				PasswordSaving: authn.PasswordSaving{Login: true},
			},
			`{"slot":"pc","enrolled":true,"passwordSaving":{"login":true,"windows":false},"expireTime":"2026-11-15T10:17:00Z",` + id + "}\n",
		},
		"without a slot": {
			authn.Result{
				Outcome:        decision.Outcome{Verdict: decision.Allow, Slot: decision.SlotNone},
				ExpireTime:     time.Date(2026, 11, 15, 10, 17, 0, 0, time.UTC),
				PasswordSaving: authn.PasswordSaving{Windows: true},
			},
			`{"enrolled":false,"passwordSaving":{"login":false,"windows":true},"expireTime":"2026-11-15T10:17:00Z",` + id + "}\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			service := answering(tc.result)
			w := httptest.NewRecorder()
			NewHandler(service).ServeHTTP(w, newLogin(goodBody))
			want := strings.Replace(tc.want, "~", service.asked()[0].ID, 1)
			if w.Code != 200 || w.Body.String() != want {
				t.Errorf("got %d %s\nwant 200 %s", w.Code, w.Body, want)
			}
			wantHeader := http.Header{
				"Cache-Control": {"no-store"}, "Content-Type": {"application/json"},
				"Content-Length": {strconv.Itoa(len(want))},
			}
			if diff := cmp.Diff(wantHeader, w.Header()); diff != "" {
				t.Errorf("header (-want +got):\n%s", diff)
			}
		})
	}
}

// TestEndingASession: whoever shows the token of the session of that id ends it, and nobody else learns anything.
func TestEndingASession(t *testing.T) {
	s := serve(t, httpserver.Options{Handler: NewHandler(denying(decision.UnknownUser))})
	ask := func(method, path, authorization string) answer {
		return parse(t, s.send(method+" "+path+" HTTP/1.1\r\nHost: relay\r\nConnection: close\r\nContent-Length: 0\r\nAuthorization: "+authorization+"\r\n\r\n"))
	}
	end := "/v1/sessions/" + testSession.ID + "/end"
	for _, shown := range []string{"Bearer good-token", "bearer good-token", "BEARER   good-token"} {
		if got := ask("POST", end, shown); got.status != http.StatusNoContent || got.body != "" {
			t.Errorf("ending by %q: %v", shown, got)
		}
	}
	if got := ask("GET", end, "Bearer good-token"); got.status != http.StatusMethodNotAllowed {
		t.Errorf("GET: %v", got)
	}
	for name, got := range map[string]answer{
		"no token":        ask("POST", end, ""),
		"another token":   ask("POST", end, "Bearer bad-token"),
		"another scheme":  ask("POST", end, "Basic good-token"),
		"no scheme":       ask("POST", end, "good-token"),
		"two tokens":      ask("POST", end, "Bearer good-token\r\nAuthorization: Bearer good-token"),
		"another session": ask("POST", "/v1/sessions/01K9ZZZZZZ0000000000000001/end", "Bearer good-token"),
	} {
		if got.status != http.StatusUnauthorized || !strings.Contains(got.body, `"code":293,`) {
			t.Errorf("%s: %v", name, got)
		}
	}
	for _, path := range []string{"/v1/sessions//end", "/v1/sessions/a/b/end", "/v1/sessions/end", "/v1/sessions/" + testSession.ID} {
		if got := ask("POST", path, "Bearer good-token"); got.status != http.StatusNotFound {
			t.Errorf("%s: %v", path, got)
		}
	}
}
