package fingerprint

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"golang.org/x/text/unicode/norm"
)

// pattern is the API's rule for DeviceReset spec.nextDevice.
var pattern = regexp.MustCompile(`^[a-z0-9]{1,16}:[A-Za-z0-9_-]{43}$`)

func TestParseOpaque(t *testing.T) {
	for name, tc := range map[string]struct {
		raw     string
		refused bool
	}{
		"base64":                  {"c2VjcmV0IGRldmljZQ==", false},
		"shortest":                {"12345678", false},
		"longest":                 {strings.Repeat("x", MaxOpaqueBytes), false},
		"letters of any script":   {"端末の指紋", false},
		"empty":                   {"", true},
		"too short":               {"1234567", true},
		"too long":                {strings.Repeat("x", MaxOpaqueBytes+1), true},
		"too short once composed": {"e\u0301e\u0301x", true},
		"leading space":           {" 123456789", true},
		"trailing newline":        {"123456789\n", true},
		"inner space":             {"1234 6789", true},
		"no-break space":          {"1234\u00a06789", true},
		"ideographic space":       {"1234\u30006789", true},
		"NUL":                     {"1234\x006789", true},
		"zero-width space":        {"1234\u200b6789", true},
		"zero-width joiner":       {"1234\u200d6789", true},
		"right-to-left override":  {"1234\u202e6789", true},
		"byte order mark":         {"\ufeff12345678", true},
		"not UTF-8":               {"12345678\xff", true},
		"surrogate":               {"12345678\xed\xa0\x80", true},
		"private use":             {"12345678\ue000", true},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := ParseOpaque(tc.raw)
			if errors.Is(err, ErrMalformed) != tc.refused {
				t.Fatalf("error %v, want refused %t", err, tc.refused)
			}
			if err != nil {
				assertHidden(t, "the error", err.Error(), tc.raw)
				return
			}
			if f.Kind() != Opaque {
				t.Errorf("kind %q", f.Kind())
			}
		})
	}
}

func FuzzParseOpaque(f *testing.F) {
	for _, seed := range []string{"", "c2VjcmV0IGRldmljZQ==", "e\u0301e\u0301e\u0301", "\u212b\u212b\u212b", "1234\u200b6789", "12345678\xff"} {
		f.Add(seed)
	}
	ring := testRing(f, "k1", "k1")
	f.Fuzz(func(t *testing.T, raw string) {
		print1, err := ParseOpaque(raw)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Errorf("error %v", err)
			}
			assertHidden(t, "the error", err.Error(), raw)
			return
		}
		digest := ring.Device(print1).Digests[0]
		if !pattern.MatchString(string(digest)) {
			t.Errorf("digest %q", digest)
		}
		for _, form := range []norm.Form{norm.NFC, norm.NFD} {
			// The decomposed form may be longer than what is taken.
			if again, err := ParseOpaque(form.String(raw)); err == nil && ring.Device(again).Digests[0] != digest {
				t.Errorf("%q: another digest in another form of Unicode", raw)
			}
		}
		if _, err := ParseOpaque(norm.NFC.String(raw)); err != nil {
			t.Errorf("%q: not accepted once normalised: %v", raw, err)
		}
	})
}

// TestDigest states two digests as another implementation made them: they must not change from one
// process, or one release, to the next.
func TestDigest(t *testing.T) {
	ring := testRing(t, "k1", "k1")
	for raw, want := range map[string]string{
		"device-0001":      "k1:yC4W-rKcbsfggpWhl721l927ZtpGN3Uk_Mb5dXT3aEQ",
		"Cafe\u0301-端末-01": "k1:h4-iAJbOBiXP5jq-VPpLikGIKJrjg9Beh8EzUVhf3zk",
		"Caf\u00e9-端末-01":  "k1:h4-iAJbOBiXP5jq-VPpLikGIKJrjg9Beh8EzUVhf3zk",
	} {
		if got := ring.Device(mustParse(t, raw)).Digests; len(got) != 1 || string(got[0]) != want {
			t.Errorf("%q: %q, want %q", raw, got, want)
		}
	}
}

func TestDigestsDiffer(t *testing.T) {
	one, other := testRing(t, "k1", "k1"), testRing(t, "k2", "k2")
	certificate := mustParse(t, "device-0001")
	certificate.kind = "Certificate"
	digests := map[string]string{
		"the first":      string(one.Device(mustParse(t, "device-0001")).Digests[0]),
		"another value":  string(one.Device(mustParse(t, "device-0002")).Digests[0]),
		"another case":   string(one.Device(mustParse(t, "DEVICE-0001")).Digests[0]),
		"another key":    string(other.Device(mustParse(t, "device-0001")).Digests[0]),
		"another kind":   string(one.Device(certificate).Digests[0]),
		"its own digest": string(one.Device(mustParse(t, string(one.Device(mustParse(t, "device-0001")).Digests[0]))).Digests[0]),
		"a longer value": string(one.Device(mustParse(t, "device-00011")).Digests[0]),
	}
	known := map[string]string{}
	for name, digest := range digests {
		_, value, _ := strings.Cut(digest, ":")
		if !pattern.MatchString(digest) {
			t.Errorf("%s: %q is not as the API has it", name, digest)
		}
		if earlier, found := known[value]; found {
			t.Errorf("%s has the digest of %s", name, earlier)
		}
		known[value] = name
	}
}

func TestZeroFingerprintIsNoDevice(t *testing.T) {
	if got := testRing(t, "k1", "k1").Device(Fingerprint{}); len(got.Digests) != 0 {
		t.Errorf("digests %v", got.Digests)
	}
}

// TestNothingIsShown prints, logs and marshals a fingerprint and a keyring in every way there is.
func TestNothingIsShown(t *testing.T) {
	const raw = "DEVICE-SECRET-0123456789"
	f := mustParse(t, raw)
	ring := testRing(t, "k1", "k1", "k2")
	type holder struct {
		Public  Fingerprint
		private Fingerprint
		Ring    *Keyring
		ring    *Keyring
	}
	h := holder{f, f, ring, ring}
	for _, value := range []any{f, &f, h, &h, []Fingerprint{f}, map[string]Fingerprint{"a": f}, ring, *ring} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "%t", "%c", "%p"} {
			assertHidden(t, fmt.Sprintf("%s of %T", verb, value), fmt.Sprintf(verb, value), raw)
		}
		if text, err := json.Marshal(value); err == nil {
			assertHidden(t, fmt.Sprintf("JSON of %T", value), string(text), raw)
		}
		var logged bytes.Buffer
		slog.New(slog.NewJSONHandler(&logged, nil)).Info("x", "value", value)
		slog.New(slog.NewTextHandler(&logged, nil)).Info("x", "value", value)
		logr.New(funcr.NewJSON(func(line string) { logged.WriteString(line) }, funcr.Options{}).GetSink()).Info("x", "value", value)
		assertHidden(t, fmt.Sprintf("a log of %T", value), logged.String(), raw)
	}
}

// assertHidden looks for a secret, and for the keys of testRing, in the spellings that Go might give them.
func assertHidden(t *testing.T, where, text, secret string) {
	t.Helper()
	spelled := func(b []byte) []string {
		return []string{string(b), hex.EncodeToString(b), strings.ToUpper(hex.EncodeToString(b)), strings.Trim(fmt.Sprintf("%d", b), "[]"), strconv.Quote(string(b))[1:]}
	}
	for _, s := range append(spelled([]byte(secret)), spelled(testKey("k1"))...) {
		if len(s) >= MinOpaqueBytes && strings.Contains(text, s) {
			t.Errorf("%s shows %q: %s", where, s, text)
		}
	}
}

func mustParse(t testing.TB, raw string) Fingerprint {
	t.Helper()
	f, err := ParseOpaque(raw)
	if err != nil {
		t.Fatal(err)
	}
	return f
}
