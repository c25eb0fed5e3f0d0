package screen_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tegata-dev/tegata/internal/plugin/screen"
)

func TestCleanSpellsOutWhatATerminalObeys(t *testing.T) {
	for text, want := range map[string]string{
		"taro":                         "taro",
		"山田 花子":                        "山田 花子",
		"cafe\u0301":                   "cafe\u0301",
		"👩\u200d💻":                     "👩\u200d💻",
		"שלום":                         "שלום",
		"\ufffd":                       "\ufffd",
		"\x1b[2J\x1b]0;title\a":        `\x1b[2J\x1b]0;title\x07`,
		"a\r\nb\tc\x7f":                `a\x0d\x0ab\x09c\x7f`,
		"\u009b31m":                    `\u009b31m`,
		"user\u202egnp.exe":            `user\u202egnp.exe`,
		"a\u2028b\u2066c\ufeffd\u00ad": `a\u2028b\u2066c\ufeffd\u00ad`,
		"\xffbad\xc3":                  `\xffbad\xc3`,
		"\U000e0041":                   `\U000e0041`,
	} {
		if got := screen.Clean(text); got != want {
			t.Errorf("Clean(%q) = %q, want %q", text, got, want)
		}
	}
}

func FuzzClean(f *testing.F) {
	f.Add("taro\x1b[1m\u202e\xff\u009b")
	f.Fuzz(func(t *testing.T, text string) {
		once := screen.Clean(text)
		if twice := screen.Clean(once); twice != once {
			t.Errorf("%q is cleaned to %q, and that to %q", text, once, twice)
		}
		if strings.ContainsAny(once, "\x1b\a\r\n\u009b\u202e") {
			t.Errorf("%q is cleaned to %q", text, once)
		}
		field := screen.CSVField(text)
		if got := screen.PlainField(field); got != text {
			t.Errorf("%q is %q in CSV, and %q again", text, field, got)
		}
	})
}

func TestDelimiters(t *testing.T) {
	for _, word := range screen.Delimiters {
		comma, err := screen.Delimiter(word)
		if got := screen.DelimiterOf([]byte("\"name\"" + string(comma) + "server\n,;\t")); err != nil || got != comma {
			t.Errorf("%s is %q, and found is %q, %v", word, comma, got, err)
		}
	}
	for _, word := range []string{"", "|", ",,", "\n"} {
		if _, err := screen.Delimiter(word); err == nil {
			t.Errorf("%q is taken", word)
		}
	}
	if got := screen.DelimiterOf([]byte("name\na;b")); got != ',' {
		t.Errorf("of one column it is %q", got)
	}
}

func TestCSVFieldIsNoFormula(t *testing.T) {
	for value, want := range map[string]string{
		"":            "",
		"taro":        "taro",
		"=1+1":        "'=1+1",
		"+81":         "'+81",
		"-":           "'-",
		"@SUM(A1)":    "'@SUM(A1)",
		"\tx":         "'\tx",
		"\rx":         "'\rx",
		"＝1":          "'＝1",
		"'quoted":     "''quoted",
		"a=b":         "a=b",
		"192.0.2.7":   "192.0.2.7",
		"2026-11-15":  "2026-11-15",
		"山田":          "山田",
		"'=cmd|'/C'!": "''=cmd|'/C'!",
	} {
		got := screen.CSVField(value)
		if got != want {
			t.Errorf("CSVField(%q) = %q, want %q", value, got, want)
		}
		if back := screen.PlainField(got); back != value {
			t.Errorf("PlainField(%q) = %q, want %q", got, back, value)
		}
	}
}

func TestJSONHasNothingThatATerminalObeys(t *testing.T) {
	got, err := screen.JSON(map[string]string{"name": "\u009b31m\u202e<&>山田\U000e0041"})
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"name":"\u009b31m\u202e<&>山田\udb40\udc41"}` + "\n"; string(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestTableStandsStraight measures by eye what a terminal would show: wide characters take two columns, marks none.
func TestTableStandsStraight(t *testing.T) {
	table := &screen.Table{Headings: []string{"NAME", "FROM", "RESULT"}}
	table.Row("taro", "192.0.2.7", "Success")
	table.Row("山田花子", "2001:db8::1", "成功")
	table.Row("cafe\u0301", "\x1b[2J", "x")
	table.Row(strings.Repeat("長", 40), "-", "x")
	table.Row("שלום", "-", "x")
	table.Row("a…b", "-", "x")
	for name, tc := range map[string]struct {
		locale string
		want   []string
	}{
		"narrow": {"en_US.UTF-8", []string{
			"NAME                                             FROM         RESULT",
			"taro                                             192.0.2.7    Success",
			"山田花子                                         2001:db8::1  成功",
			"cafe\u0301                                             \\x1b[2J      x",
			strings.Repeat("長", 23) + "…  -            x",
			"\u2068שלום\u2069                                             -            x",
			"a…b                                              -            x",
		}},
		"ambiguous characters are wide in Japan": {"ja_JP.UTF-8", []string{
			"NAME                                              FROM         RESULT",
			"taro                                              192.0.2.7    Success",
			"山田花子                                          2001:db8::1  成功",
			"cafe\u0301                                              \\x1b[2J      x",
			strings.Repeat("長", 23) + "…  -            x",
			"\u2068שלום\u2069                                              -            x",
			"a…b                                              -            x",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			terminal := screen.NewTerminal(&out, func(key string) string { return map[string]string{"LC_ALL": tc.locale}[key] })
			if err := terminal.Print(table, ""); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")); diff != "" {
				t.Errorf("table (-want +got):\n%s", diff)
			}
		})
	}
}
