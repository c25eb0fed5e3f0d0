package bearer

import (
	"bytes"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestToken(t *testing.T) {
	for header, want := range map[string]struct {
		token string
		ok    bool
	}{
		"Bearer abc":     {"abc", true},
		"bEaReR   abc  ": {"abc", true},
		" Bearer\tabc":   {"", false},
		"Bearer":         {"", true},
		"Bearer ":        {"", true},
		"Bearer a b":     {"a b", true},
		"Bearerabc":      {"", false},
		"Basic abc":      {"", false},
		"":               {"", false},
		"Beare":          {"", false},
		"Bearer abc,def": {"abc,def", true},
	} {
		token, ok := Token(header)
		inBytes, _ := Token([]byte(header))
		if token != want.token || ok != want.ok || string(inBytes) != token {
			t.Errorf("Token(%q) = %q, %t, want %q, %t", header, token, ok, want.token, want.ok)
		}
	}
}

func TestBasic(t *testing.T) {
	for header, want := range map[string]struct {
		user, password string
		ok             bool
	}{
		"Basic dGFybzpwdzp3aXRoOmNvbG9ucw==":         {"taro", "pw:with:colons", true},
		"basic 5aSq6YOOOuOBsuOBqOOBjA==":             {"太郎", "ひとが", true},
		"Basic dGFybw==":                             {"taro", "", true},
		"Basic Og==":                                 {"", "", true},
		"Basic dGFybzpwdw":                           {"", "", true}, // padding is required
		"Basic not base64":                           {"", "", true},
		"Basic " + strings.Repeat("QUJD", 2<<10):     {"", "", true},
		"Basic":                                      {"", "", true},
		"Bearer dGFybzpwdzp3aXRoOmNvbG9ucw==":        {"", "", false},
		"Basically dGFybzpwdzp3aXRoOmNvbG9ucw== abc": {"", "", false},
	} {
		user, password, ok := Basic(header)
		if user != want.user || password != want.password || ok != want.ok || IsBasic(header) != ok {
			t.Errorf("Basic(%.40q) = %q, %q, %t, want %q, %q, %t", header, user, password, ok, want.user, want.password, want.ok)
		}
	}
}

func TestCookie(t *testing.T) {
	const own = CookieName + "="
	for header, want := range map[string]struct {
		token string
		rest  string
	}{
		"":                                       {"", ""},
		own + "abc":                              {"abc", ""},
		" " + own + "abc ":                       {"abc", ""},
		"a=b; " + own + "abc":                    {"abc", "a=b"},
		own + "abc; a=b":                         {"abc", "a=b"},
		"a=b;" + own + "abc;c=d":                 {"abc", "a=b; c=d"},
		"a=b; " + own + "abc; " + own + "x; c=d": {"abc", "a=b; c=d"},
		own:                                      {"", ""},
		own + "; " + own + "abc":                 {"", ""}, // the first counts
		own + "a=b=c":                            {"a=b=c", ""},
		own + "\"abc\"":                          {"\"abc\"", ""},
		"__host-tegata-session=abc":              {"", "__host-tegata-session=abc"},
		"x" + own + "abc":                        {"", "x" + own + "abc"},
		CookieName + " =abc":                     {"", CookieName + " =abc"},
		CookieName:                               {"", CookieName},
		"a=\"" + own + "abc\"":                   {"", "a=\"" + own + "abc\""},
		";;; ;" + own + "abc;;":                  {"abc", ""},
	} {
		token, ok := Cookie(header)
		inBytes, _ := Cookie([]byte(header))
		if token != want.token || ok != (want.token != "") || string(inBytes) != token {
			t.Errorf("Cookie(%q) = %q, %t, want %q", header, token, ok, want.token)
		}
		if got := WithoutCookie(header); got != want.rest {
			t.Errorf("WithoutCookie(%q) = %q, want %q", header, got, want.rest)
		}
	}
}

func TestFindingACookieAllocatesNothing(t *testing.T) {
	header := []byte("a=b; " + strings.Repeat("c", 1000) + "=d; " + CookieName + "=abc")
	if allocs := testing.AllocsPerRun(100, func() { Cookie(header) }); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

func TestSetCookieIsWhatBrowsersTake(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	response := http.Response{Header: http.Header{"Set-Cookie": {SetCookie("abc", now, now.Add(90*time.Second+1))}}}
	got := response.Cookies()
	if len(got) != 1 || got[0].Name != CookieName || got[0].Value != "abc" || got[0].Path != "/" || got[0].Domain != "" || !got[0].Secure || !got[0].HttpOnly ||
		got[0].SameSite != http.SameSiteLaxMode || got[0].MaxAge != 90 {
		t.Errorf("read as %+v", got)
	}
	if late := SetCookie("abc", now, now.Add(-time.Hour)); !strings.Contains(late, "Max-Age=0;") {
		t.Errorf("after the end: %s", late)
	}
}

// FuzzCookie: nothing is found that is not there, what is taken out is gone, and all else is left.
func FuzzCookie(f *testing.F) {
	for _, seed := range []string{
		"", ";", "a=b", CookieName + "=abc", "a=b; " + CookieName + "=abc;c=d", CookieName + "=", ";" + CookieName + "=a;" + CookieName + "=b;",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		token, ok := Cookie(header)
		if ok && !strings.Contains(header, CookieName+"="+token) {
			t.Fatalf("found %q", token)
		}
		rest := WithoutCookie(header)
		if token, ok := Cookie(rest); ok {
			t.Fatalf("left %q in %q", token, rest)
		}
		if want, got := others(header), others(rest); !slices.Equal(want, got) {
			t.Fatalf("left %q, want %q", got, want)
		}
	})
}

// others are the parts of a header that are no session's cookie.
func others(header string) []string {
	var all []string
	for part := range bytes.SplitSeq([]byte(header), []byte(";")) {
		part = bytes.Trim(part, " \t")
		if len(part) > 0 && !bytes.HasPrefix(part, []byte(CookieName+"=")) {
			all = append(all, string(part))
		}
	}
	return all
}
