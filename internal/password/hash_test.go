package password

import (
	"bytes"
	"context"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"github.com/go-logr/logr/funcr"
)

func mustParse(t testing.TB, encoded string) Hash {
	t.Helper()
	h, err := Parse(encoded)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// Whatever prints a hash, or something that a hash is in, shows nothing of it.
func TestHashIsRedacted(t *testing.T) {
	type exported struct{ Credential Hash }
	type unexported struct {
		name string
		hash Hash
	}
	type nested struct {
		inner *unexported
		list  []unexported
		byUID map[string]Hash
		any   any
	}
	for name, tc := range vectors {
		t.Run(name, func(t *testing.T) {
			h := mustParse(t, tc.encoded)
			in := unexported{name: "user", hash: h}
			var out bytes.Buffer
			for _, value := range []any{
				h, &h, []Hash{h}, map[string]Hash{"user": h}, exported{h}, &exported{h}, in, &in,
				nested{inner: &in, list: []unexported{in}, byUID: map[string]Hash{"u": h}, any: h},
				fmt.Errorf("wrapped: %v", h),
			} {
				for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%c", "%U", "%p", "%08.3f", "%!"} {
					fmt.Fprintf(&out, verb+"\n", value)
				}
				fmt.Fprintln(&out, value)
				fmt.Fprint(&out, value)
				for _, handler := range []slog.Handler{slog.NewJSONHandler(&out, nil), slog.NewTextHandler(&out, nil)} {
					slog.New(handler).Info("login", "value", value)
					slog.New(handler).With("value", value).WithGroup("group").Info("login", "hash", h)
				}
				funcr.New(func(prefix, args string) { fmt.Fprintln(&out, prefix, args) }, funcr.Options{}).
					Info("login", "value", value, "hash", h)
				funcr.NewJSON(func(line string) { fmt.Fprintln(&out, line) }, funcr.Options{}).Info("login", "value", value)
				_ = json.NewEncoder(&out).Encode(value)
				_ = xml.NewEncoder(&out).Encode(value)
				_ = gob.NewEncoder(&out).Encode(value)
			}
			// Any part of the salt or the key would do harm, in hexadecimal and as numbers too.
			secret := tc.encoded[len(tc.encoded)-24:]
			numbers := strings.Trim(fmt.Sprintf("%d", []byte(secret)), "[]")
			for _, leak := range []string{
				secret, fmt.Sprintf("%x", secret), fmt.Sprintf("%X", secret),
				numbers, tc.encoded[:24],
			} {
				if strings.Contains(out.String(), leak) {
					i := strings.Index(out.String(), leak)
					t.Errorf("leaked in %q", out.String()[max(0, i-80):min(out.Len(), i+40)])
				}
			}
			if want := "[redacted " + string(tc.algorithm) + " hash]"; !strings.Contains(out.String(), want) {
				t.Errorf("does not say %q", want)
			}
		})
	}
}

func TestHashText(t *testing.T) {
	h := mustParse(t, vectors["bcrypt 2y, crypt_blowfish"].encoded)
	for name, tc := range map[string]struct {
		hash Hash
		want string
	}{
		"hash": {h, "[redacted bcrypt hash]"},
		"none": {Hash{}, "[no password hash]"},
	} {
		t.Run(name, func(t *testing.T) {
			text, err := json.Marshal(tc.hash)
			if err != nil {
				t.Fatal(err)
			}
			for _, got := range []string{
				tc.hash.String(), tc.hash.GoString(), tc.hash.LogValue().String(),
				fmt.Sprintf("%#v", tc.hash), fmt.Sprintf("%d", tc.hash), fmt.Sprintf("%x", tc.hash), strings.Trim(string(text), `"`),
			} {
				if got != tc.want {
					t.Errorf("got %q, want %q", got, tc.want)
				}
			}
		})
	}
}

// What was redacted must not be taken for a hash when it is read back.
func TestHashDoesNotUnmarshal(t *testing.T) {
	var object struct{ Credential Hash }
	if err := json.Unmarshal([]byte(`{"Credential":"[redacted bcrypt hash]"}`), &object); err == nil {
		t.Error("unmarshalled")
	}
	if _, err := Parse("[redacted bcrypt hash]"); err == nil {
		t.Error("parsed")
	}
}

func TestHashEqual(t *testing.T) {
	const encoded = "$6$saltsalt$" + key86
	a, b := mustParse(t, encoded), mustParse(t, encoded)
	other := mustParse(t, "$6$saltsalz$"+key86)
	for name, tc := range map[string]struct {
		a, b Hash
		want bool
	}{
		"itself":         {a, a, true},
		"parsed twice":   {a, b, true},
		"another salt":   {a, other, false},
		"none and one":   {Hash{}, a, false},
		"one and none":   {a, Hash{}, false},
		"none and none":  {Hash{}, Hash{}, true},
		"copy of itself": {a, func() Hash { c := a; return c }(), true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tc.a.Equal(tc.b); got != tc.want {
				t.Errorf("Equal = %v, want %v", got, tc.want)
			}
		})
	}
}

func TestZeroHash(t *testing.T) {
	var h Hash
	if !h.IsZero() || h.Encoded() != "" || h.Algorithm() != "" {
		t.Errorf("zero hash is not empty: %v %q", h.IsZero(), h.Algorithm())
	}
	if want := int64(19 << 20); h.MemoryBytes() != want {
		t.Errorf("MemoryBytes() = %d, want %d: the decoy's", h.MemoryBytes(), want)
	}
}

func TestNew(t *testing.T) {
	v := NewVerifier(Options{Slots: 1})
	viaVerifier := func(p []byte) (Hash, error) { return v.Hash(context.Background(), p) }
	for name, make := range map[string]func([]byte) (Hash, error){"New": New, "Verifier.Hash": viaVerifier} {
		t.Run(name, func(t *testing.T) {
			h, err := make([]byte(horse))
			if err != nil {
				t.Fatal(err)
			}
			const wantPrefix = "$argon2id$v=19$m=19456,t=2,p=1$"
			if e := h.Encoded(); !strings.HasPrefix(e, wantPrefix) || len(e) != len(wantPrefix)+22+1+43 {
				t.Errorf("made with other parameters: %d characters", len(e))
			}
			mustParse(t, h.Encoded())
			again, err := make([]byte(horse))
			if err != nil {
				t.Fatal(err)
			}
			if h.Equal(again) {
				t.Error("two hashes of one password are the same: the salt is not fresh")
			}
			for password, want := range map[string]bool{horse: true, horse + " ": false, strings.ToUpper(horse): false} {
				if got, err := v.Verify(context.Background(), h, []byte(password), Ordinary); err != nil || got != want {
					t.Errorf("Verify(%q) = %v, %v, want %v", password, got, err, want)
				}
			}
			if h, err := make([]byte("hunter2")); err == nil || !h.IsZero() {
				t.Error("a password of 7 bytes was accepted")
			}
		})
	}
}

func TestHashKeepsNoWholeSecret(t *testing.T) {
	secret := strings.Repeat("x", 1<<20) + "$6$saltsalt$" + key86
	part := secret[1<<20:]
	if unsafe.StringData(mustParse(t, part).Encoded()) == unsafe.StringData(part) {
		t.Error("the hash holds on to the text that it was cut out of")
	}
}

// A directory keeps one for each of 100,000 users.
func TestHashIsCompact(t *testing.T) {
	const users = 20_000
	encoded := vectors["argon2id, libargon2, the default parameters"].encoded
	hashes := make([]Hash, users)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range hashes {
		hashes[i] = wrap(encoded)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	each := float64(after.HeapAlloc-before.HeapAlloc)/users + 8
	t.Logf("%.0f bytes for a hash of %d characters", each, len(encoded))
	if each > 144 {
		t.Errorf("a hash takes %.0f bytes, want at most 144", each)
	}
	runtime.KeepAlive(hashes)
}
