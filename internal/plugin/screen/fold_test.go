package screen

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func narrow(columns string) (*Terminal, *bytes.Buffer) {
	var out bytes.Buffer
	return NewTerminal(&out, func(name string) string {
		return map[string]string{"COLUMNS": columns, "LC_ALL": "ja_JP.UTF-8"}[name]
	}), &out
}

func TestWrap(t *testing.T) {
	terminal, _ := narrow("80")
	tests := map[string]struct {
		text  string
		width int
		want  []string
	}{
		"fits":                     {"two words", 9, []string{"two words"}},
		"at a space":               {"two words", 8, []string{"two", "words"}},
		"a word that is too long":  {"incomprehensibilities", 10, []string{"incomprehe", "nsibilitie", "s"}},
		"between wide characters":  {"端末認証情報", 5, []string{"端末", "認証", "情報"}},
		"not before a closing one": {"異なる。端末", 6, []string{"異な", "る。端", "末"}},
		"not after an opening one": {"端末「情報」", 6, []string{"端末", "「情", "報」"}},
		"a word among wide ones":   {"端末PCは", 6, []string{"端末PC", "は"}},
		"nothing":                  {"", 5, []string{""}},
		"no room for one":          {"端末", 1, []string{"端末"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := terminal.wrap(tc.text, tc.width); !slices.Equal(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// TestFold holds each width to showing all, and to be kept where a character is no wider than half of it.
func TestFold(t *testing.T) {
	row := []Cell{{Text: "2026-11-15 10:16:55"}, {Text: "太郎"}, {Text: "192.0.2.7"}, {Text: "失敗：端末認証情報が登録されていません。 It failed.", Whole: true}}
	whole := strings.Fields("2026-11-15 10:16:55 太郎 192.0.2.7 失敗：端末認証情報が登録されていません。 It failed.")
	for columns := 40; columns < 120; columns++ {
		terminal, out := narrow(strconv.Itoa(columns))
		table := &Table{Fold: true}
		table.Cells(row...)
		if err := terminal.Print(table, "  "); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(out.String()) {
			if got := terminal.Width(strings.TrimSuffix(line, "\n")); got > columns {
				t.Errorf("%d columns of %d: %q", got, columns, line)
			}
		}
		if got := strings.Join(strings.Fields(out.String()), ""); got != strings.Join(whole, "") {
			t.Errorf("in %d columns it is %q", columns, out)
		}
	}
}

// TestNoWidth leaves rows alone where nobody knows how wide it is, or where nothing would fit.
func TestNoWidth(t *testing.T) {
	for _, columns := range []string{"", "0", "-1", "10", "wide"} {
		terminal, out := narrow(columns)
		table := &Table{Fold: true}
		table.Row(strings.Repeat("x", 40), strings.Repeat("y", 40), strings.Repeat("z", 40))
		if err := terminal.Print(table, ""); err != nil || strings.Count(out.String(), "\n") != 1 || !terminal.Fits(table, "") {
			t.Errorf("COLUMNS=%s: %q, %v", columns, out, err)
		}
	}
}
