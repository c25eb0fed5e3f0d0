package decision_test

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/tegata-dev/tegata/internal/decision"
)

func TestParseMAC(t *testing.T) {
	const canonical = "00:11:22:aa:bb:cc"
	for name, tc := range map[string]struct {
		text string
		want string // empty: refused
	}{
		"colons":                   {"00:11:22:aa:bb:cc", canonical},
		"colons, upper case":       {"00:11:22:AA:BB:CC", canonical},
		"hyphens":                  {"00-11-22-AA-BB-CC", canonical},
		"dots":                     {"0011.22aa.bbcc", canonical},
		"bare":                     {"001122AAbbcc", canonical},
		"empty":                    {"", ""},
		"mixed separators":         {"00:11-22:aa:bb:cc", ""},
		"another separator":        {"00_11_22_aa_bb_cc", ""},
		"dots between octets":      {"00.11.22.aa.bb.cc", ""},
		"hyphens between quads":    {"0011-22aa-bbcc", ""},
		"a digit is its own gap":   {"00011022000aa0bb0cc"[:17], ""},
		"not hexadecimal":          {"00:11:22:aa:bb:cg", ""},
		"too short":                {"00:11:22:aa:bb", ""},
		"too long":                 {"00:11:22:aa:bb:cc:dd", ""},
		"64 bits":                  {"0011223344556677", ""},
		"spaces around":            {" 00:11:22:aa:bb:c", ""},
		"full-width digits":        {"００:１１:２２", ""},
		"half a rune as the gap":   {"00é1é22éaaébbéccé"[:17], ""},
		"separators in the middle": {"00::1:22:aa:bb:cc", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := decision.ParseMAC(tc.text)
			if got.String() != tc.want {
				t.Errorf("%q, want %q", got, tc.want)
			}
			if refused := errors.Is(err, decision.ErrMAC); refused != (tc.want == "") {
				t.Errorf("error %v", err)
			}
		})
	}
}

// spelling is the rule that the API puts on MACAddress.
var spelling = regexp.MustCompile(`^([0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}|[0-9A-Fa-f]{2}(-[0-9A-Fa-f]{2}){5}|[0-9A-Fa-f]{4}([.][0-9A-Fa-f]{4}){2}|[0-9A-Fa-f]{12})$`)

// FuzzParseMAC: what the API takes is parsed, nothing else is, and all spellings are one address.
func FuzzParseMAC(f *testing.F) {
	for _, seed := range []string{"", "00:11:22:aa:bb:cc", "00-11-22-AA-BB-CC", "0011.22aa.bbcc", "001122aabbcc", "00:11:22:aa:bb:c\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		m, err := decision.ParseMAC(text)
		if (err == nil) != spelling.MatchString(text) {
			t.Fatalf("%q: %v", text, err)
		}
		if err != nil || m.IsZero() {
			return
		}
		digits := strings.NewReplacer(":", "", "-", "", ".", "").Replace(strings.ToLower(text))
		if got := strings.ReplaceAll(m.String(), ":", ""); got != digits {
			t.Errorf("%q is %q", text, m)
		}
		if again, err := decision.ParseMAC(m.String()); err != nil || again != m {
			t.Errorf("%q does not read as itself: %v", m, err)
		}
	})
}
