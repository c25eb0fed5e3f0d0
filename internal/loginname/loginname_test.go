package loginname_test

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/tegata-dev/tegata/internal/loginname"
)

func TestNormalize(t *testing.T) {
	for name, tc := range map[string]struct {
		typed string
		want  string // empty: refused
	}{
		"lower case":                       {"user1", "user1"},
		"upper case":                       {"User1", "user1"},
		"punctuation":                      {"A.b-c_d+e@example.com", "a.b-c_d+e@example.com"},
		"full width":                       {"ｕｓｅｒ１", "user1"},
		"full width, upper case":           {"ＵＳＥＲ１", "user1"},
		"half-width katakana":              {"ﾕｰｻﾞ", "ユーザ"},
		"kanji":                            {"利用者", "利用者"},
		"Greek, with no rule for the last": {"ΣΊΣΥΦΟΣ", "σίσυφοσ"},
		"Greek, lower case":                {"σίσυφος", "σίσυφος"},
		"Kelvin sign":                      {"\u212aim", "kim"},
		"Turkish dotted capital I":         {"\u0130zmir", "i\u0307zmir"},
		"Turkish dotless i":                {"\u0131zmir", "\u0131zmir"},
		"capital I is i everywhere":        {"IZMIR", "izmir"},
		"sharp s stays":                    {"straße", "straße"},
		"composed":                         {"jos\u00e9", "jos\u00e9"},
		"decomposed":                       {"jose\u0301", "jos\u00e9"},
		"decomposed, upper case":           {"JOSE\u0301", "jos\u00e9"},
		"confusable Cyrillic a":            {"p\u0430ul", "p\u0430ul"},
		"confusable digit one":             {"pau1", "pau1"},
		"Arabic":                           {"\u0645\u0631\u062d\u0628\u0627", "\u0645\u0631\u062d\u0628\u0627"},
		"Hebrew and a digit":               {"\u05d0\u05d1\u05d21", "\u05d0\u05d1\u05d21"},
		"empty":                            {"", ""},
		"space":                            {"user 1", ""},
		"leading space":                    {" user1", ""},
		"ideographic space":                {"user\u30001", ""},
		"no-break space":                   {"user\u00a01", ""},
		"newline":                          {"user1\n", ""},
		"NUL":                              {"user\x001", ""},
		"delete":                           {"user\x7f1", ""},
		"zero-width space":                 {"us\u200ber", ""},
		"zero-width joiner":                {"us\u200der", ""},
		"soft hyphen":                      {"us\u00ader", ""},
		"right-to-left override":           {"us\u202eer", ""},
		"byte order mark":                  {"\ufeffuser", ""},
		"right to left within Latin":       {"user\u05d0x", ""},
		"Latin within right to left":       {"\u05d0user\u05d1", ""},
		"emoji":                            {"user\U0001f600", ""},
		"ligature":                         {"\ufb01le", ""},
		"Roman numeral":                    {"user\u2163", ""},
		"superscript":                      {"user\u00b2", ""},
		"private use":                      {"user\ue000", ""},
		"not UTF-8":                        {"user\xff", ""},
		"not UTF-8, lower ASCII before":    {"\xffuser", ""},
		"longest":                          {strings.Repeat("a", loginname.MaxBytes), strings.Repeat("a", loginname.MaxBytes)},
		"too long":                         {strings.Repeat("a", loginname.MaxBytes+1), ""},
		"as long as the API permits":       {strings.Repeat("\U00020000", 128), strings.Repeat("\U00020000", 128)},
		"combining mark after nothing":     {"\u0301user", ""},
		"middle dot outside of Catalan":    {"a\u00b7b", ""},
		"replacement character":            {"user\ufffd", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := loginname.Normalize(tc.typed)
			if got != tc.want {
				t.Errorf("%+q: %+q, want %+q", tc.typed, got, tc.want)
			}
			if refused := errors.Is(err, loginname.ErrInvalid); refused != (tc.want == "") {
				t.Errorf("%+q: error %v", tc.typed, err)
			}
		})
	}
}

// FuzzNormalize: a name that was normalised is its own name, whoever normalises it again: the manager
// from the object, the sidecar from what is typed.
func FuzzNormalize(f *testing.F) {
	for _, seed := range []string{"", "User1", "ｕｓｅｒ", "\u0130zmir", "jose\u0301", "ﾕｰｻﾞ", "\u03a3\u03a3", "\u1e9e", "\u00b7l", "us\u200ber", "\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		name, err := loginname.Normalize(typed)
		if err != nil {
			if name != "" || !errors.Is(err, loginname.ErrInvalid) {
				t.Errorf("%+q: %q, %v", typed, name, err)
			}
			return
		}
		if name == "" || !utf8.ValidString(name) || !norm.NFC.IsNormalString(name) || strings.ContainsAny(name, " \t\r\n\x00") {
			t.Errorf("%+q became %+q", typed, name)
		}
		again, err := loginname.Normalize(name)
		if again != name || err != nil {
			t.Errorf("%+q became %+q, and that %+q, %v", typed, name, again, err)
		}
		if upper, err := loginname.Normalize(asciiUpper(typed)); upper != name || err != nil {
			t.Errorf("%+q became %+q, but %+q in upper case, %v", typed, name, upper, err)
		}
	})
}

func asciiUpper(s string) string {
	return strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' {
			return r - 'a' + 'A'
		}
		return r
	}, s)
}

func BenchmarkNormalize(b *testing.B) {
	for name, typed := range map[string]string{"ASCII": "hanako.yamada", "Japanese": "山田花子"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = loginname.Normalize(typed)
			}
		})
	}
}
