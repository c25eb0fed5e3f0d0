package password

import (
	"bytes"
	"context"
	"math/bits"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestCheckPlain(t *testing.T) {
	for name, tc := range map[string]struct{ password, want string }{
		"eight bytes":                    {"hunter22", ""},
		"256 bytes":                      {strings.Repeat("x", 256), ""},
		"spaces inside":                  {"correct horse", ""},
		"Japanese":                       {"パスワード", ""},
		"half-width and emoji":           {"ﾊﾟｽﾜｰﾄﾞ🔑", ""},
		"256 bytes after composition":    {strings.Repeat("e\u0301", 128), ""},
		"seven bytes":                    {"hunter2", "password is shorter than 8 bytes"},
		"empty":                          {"", "password is shorter than 8 bytes"},
		"257 bytes":                      {strings.Repeat("x", 257), "password is longer than 256 bytes"},
		"a mebibyte":                     {strings.Repeat("x", 1<<20), "password is longer than 256 bytes"},
		"too long after composition":     {strings.Repeat("e\u0301", 129), "password is longer than 256 bytes"},
		"seven bytes after composition":  {"e\u0301e\u0301e\u0301a", "password is shorter than 8 bytes once normalised"},
		"not UTF-8":                      {"hunter2\xff\xfe", "password is not valid UTF-8"},
		"surrogate":                      {"hunter2\xed\xa0\x80", "password is not valid UTF-8"},
		"NUL":                            {"hunter2\x00hunter2", "password contains a control character"},
		"tab":                            {"\thunter2-hunter2", "password contains a control character"},
		"delete":                         {"hunter2\x7fhunter2", "password contains a control character"},
		"written with echo":              {"hunter2-hunter2\n", "password ends in a line break: store it without one"},
		"written on Windows":             {"hunter2-hunter2\r\n", "password ends in a line break: store it without one"},
		"invisible character":            {"hunter2\u200bhunter2", "password contains a character that RFC 8265 does not allow in passwords (invisible, or without a meaning in Unicode)"},
		"code point without a meaning":   {"hunter2\U000e0fff", "password contains a character that RFC 8265 does not allow in passwords (invisible, or without a meaning in Unicode)"},
		"direction override (not shown)": {"hunter2\u202ehunter2", "password contains a character that RFC 8265 does not allow in passwords (invisible, or without a meaning in Unicode)"},
	} {
		t.Run(name, func(t *testing.T) {
			got := ""
			if err := CheckPlain([]byte(tc.password)); err != nil {
				got = err.Error()
			}
			if got != tc.want {
				t.Errorf("CheckPlain = %q, want %q", got, tc.want)
			}
			if strings.Contains(got, "hunter2") {
				t.Error("the error quotes the password")
			}
		})
	}
}

func TestPasswordIsNormalised(t *testing.T) {
	v := NewVerifier(Options{Slots: 1})
	for name, tc := range map[string]struct {
		enrolled, typed string
		want            bool
	}{
		"Windows, then a Mac":          {"p\u00e4ssw\u00f6rd", "pa\u0308sswo\u0308rd", true},
		"a Mac, then Windows":          {"pa\u0308sswo\u0308rd", "p\u00e4ssw\u00f6rd", true},
		"Japanese voicing marks":       {"パスワード", "ハ\u309aスワート\u3099", true},
		"Hangul":                       {"\ud55c\uad6d\uc5b4", "\u1112\u1161\u11ab\u1100\u116e\u11a8\u110b\u1165", true},
		"ideographic space":            {"correct\u3000horse", "correct horse", true},
		"no-break space":               {"correct horse", "correct\u00a0horse", true},
		"case counts":                  {"Correct horse", "correct horse", false},
		"width counts":                 {"ｃｏｒｒｅｃｔ", "correct horse"[:7], false},
		"half-width kana count":        {"パスワード", "ﾊﾟｽﾜｰﾄﾞ", false},
		"compatibility forms count":    {"\ufb01nd-the-file", "find-the-file", false},
		"surrounding spaces count":     {"correct horse", " correct horse ", false},
		"accent left out":              {"pässwörd", "passwörd", false},
		"NUL and the password again":   {"hunter22", "hunter22\x00hunter22", false},
		"what the enrolment refuses":   {"correct horse", "correct horse\n", false},
		"not UTF-8 where it cannot be": {"correct horse", "correct horse\xff", false},
	} {
		t.Run(name, func(t *testing.T) {
			h, err := New([]byte(tc.enrolled))
			if err != nil {
				t.Fatal(err)
			}
			got, err := v.Verify(context.Background(), h, []byte(tc.typed), Ordinary)
			if err != nil || got != tc.want {
				t.Errorf("Verify = %v, %v, want %v", got, err, tc.want)
			}
		})
	}
}

// Bcrypt takes its input as a ring with one NUL at the seam: what has a NUL must not get there.
func TestBcryptDoesNotTakeRepeatedPassword(t *testing.T) {
	v := NewVerifier(Options{Slots: 1})
	tc := vectors["bcrypt 2y, crypt_blowfish"]
	h := mustParse(t, tc.encoded)
	twice := []byte(tc.password + "\x00" + tc.password)
	s, err := h.scheme()
	if err != nil {
		t.Fatal(err)
	}
	if !s.match(twice, nil) {
		t.Fatal("the primitive tells the two apart now: the rule against NUL may go")
	}
	if got, err := v.Verify(context.Background(), h, twice, Ordinary); err != nil || got {
		t.Errorf("Verify = %v, %v, want false", got, err)
	}
}

func TestGenerate(t *testing.T) {
	seen := map[string]bool{}
	used := map[rune]int{}
	for range 2000 {
		p := Generate()
		if err := CheckPlain([]byte(p)); err != nil {
			t.Fatalf("cannot be used: %v", err)
		}
		groups := strings.Split(p, "-")
		for _, g := range groups {
			if len(g) != 4 || len(groups) != 4 {
				t.Fatalf("%q is not four groups of four", p)
			}
			for _, r := range g {
				used[r]++
			}
		}
		if seen[p] {
			t.Fatalf("%q came twice", p)
		}
		seen[p] = true
	}
	if n := len(temporaryAlphabet); n != 32 || bits.OnesCount(uint(n)) != 1 || 256%n != 0 {
		t.Errorf("alphabet of %d: not five even bits a character", n)
	}
	if len(used) != len(temporaryAlphabet) {
		t.Errorf("%d different characters in 2000 passwords, want %d", len(used), len(temporaryAlphabet))
	}
	for r, n := range used {
		if n < 700 || n > 1300 { // 1000 are expected, with a deviation of 31
			t.Errorf("%q came %d times in 32000", r, n)
		}
		if strings.ContainsRune("0Oo1lI", r) {
			t.Errorf("%q is taken for another character", r)
		}
	}
}

func FuzzCandidate(f *testing.F) {
	f.Add([]byte(horse))
	f.Add([]byte("pa\u0308sswo\u0308rd"))
	f.Add([]byte("hunter2\x00\xff\u200b\u3000"))
	f.Add([]byte(strings.Repeat("\u0958", 100)))
	f.Fuzz(func(t *testing.T, password []byte) {
		before := string(password)
		input, possible := candidate(password)
		if len(input) == 0 || len(input) > maxPlain {
			t.Errorf("input of %d bytes", len(input))
		}
		if possible && !utf8.Valid(input) {
			t.Error("input is not UTF-8")
		}
		if string(password) != before {
			t.Error("the password was changed in place")
		}
		normal, err := normalisePlain(password)
		if err != nil {
			return
		}
		// What can be enrolled must be found again, also when it is typed as it was normalised.
		if !possible || !bytes.Equal(input, normal) {
			t.Errorf("enrolled as %q, checked as %q (%v)", normal, input, possible)
		}
		if again, possible := candidate(normal); !possible || !bytes.Equal(again, normal) {
			t.Errorf("normalised %q, then %q", normal, again)
		}
	})
}
