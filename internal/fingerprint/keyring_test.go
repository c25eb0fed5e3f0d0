package fingerprint

import (
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// testKey is 32 bytes: the first key's are 0 to 31.
func testKey(id string) []byte {
	key := make([]byte, keyBytes)
	for i := range key {
		key[i] = byte(i) + 32*(id[len(id)-1]-'1')
	}
	return key
}

func testData(current string, ids ...string) map[string][]byte {
	data := map[string][]byte{currentKey: []byte(current)}
	for _, id := range ids {
		data[keyPrefix+id] = testKey(id)
	}
	return data
}

func testRing(t testing.TB, current string, ids ...string) *Keyring {
	t.Helper()
	ring, err := ParseKeyring(testData(current, ids...))
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func with(data map[string][]byte, name, value string) map[string][]byte {
	data = maps.Clone(data)
	data[name] = []byte(value)
	return data
}

func TestParseKeyring(t *testing.T) {
	good := testData("k1", "k1")
	secret := "0123456789abcdef0123456789abcdef"
	for name, tc := range map[string]struct {
		data map[string][]byte
		want string // the current id; empty: refused
	}{
		"one key":              {good, "k1"},
		"two keys":             {testData("k2", "k1", "k2"), "k2"},
		"four keys":            {testData("k3", "k1", "k2", "k3", "k4"), "k3"},
		"beside a session key": {with(good, "session.s1", "anything"), "k1"},
		"empty":                {nil, ""},
		"no current":           {map[string][]byte{keyPrefix + "k1": testKey("k1")}, ""},
		"current of no key":    {testData("k9", "k1"), ""},
		"current is a secret":  {testData(secret, "k1"), ""},
		"current and newline":  {testData("k1\n", "k1"), ""},
		"no key":               {testData("k1"), ""},
		"five keys":            {testData("k3", "k1", "k2", "k3", "k4", "k5"), ""},
		"a key too short":      {with(good, keyPrefix+"k2", secret[:31]), ""},
		"a key too long":       {with(good, keyPrefix+"k2", secret+"0"), ""},
		"an empty key":         {with(good, keyPrefix+"k2", ""), ""},
		"an id in upper case":  {with(good, keyPrefix+"K2", secret), ""},
		"an id that is empty":  {with(good, keyPrefix, secret), ""},
		"an id too long":       {with(good, keyPrefix+strings.Repeat("k", 17), secret), ""},
		"an id with a colon":   {with(good, keyPrefix+"k:2", secret), ""},
	} {
		t.Run(name, func(t *testing.T) {
			ring, err := ParseKeyring(tc.data)
			if tc.want == "" {
				if !errors.Is(err, ErrKeyring) || ring != nil {
					t.Fatalf("%v, %v; want it refused", ring, err)
				}
				assertHidden(t, "the error", err.Error(), secret)
				return
			}
			if err != nil || ring.CurrentID() != tc.want || !ring.Has(tc.want) || ring.Has("k9") {
				t.Errorf("%v, %v; want %s current", ring, err, tc.want)
			}
		})
	}
}

// TestOlderKeyStaysRecognised: a device that was bound before a new key was made current is still known.
func TestOlderKeyStaysRecognised(t *testing.T) {
	f := mustParse(t, "device-0001")
	before := testRing(t, "k1", "k1").Device(f)
	after := testRing(t, "k2", "k1", "k2").Device(f)
	if !after.Matches(before.Digests[0]) {
		t.Error("the device is not recognised by its older digest")
	}
	if id, _, _ := strings.Cut(string(after.Digests[0]), ":"); id != "k2" || len(after.Digests) != 2 {
		t.Errorf("digests %v, want one under each key, the current one first", after.Digests)
	}
	if other := testRing(t, "k2", "k1", "k2").Device(mustParse(t, "device-0002")); other.Matches(before.Digests[0]) {
		t.Error("another device is taken for it")
	}
}

// TestKeyringKeepsNoAlias: a Secret that is changed after it was read changes no digest.
func TestKeyringKeepsNoAlias(t *testing.T) {
	data := testData("k1", "k1")
	ring, err := ParseKeyring(data)
	if err != nil {
		t.Fatal(err)
	}
	f := mustParse(t, "device-0001")
	before := ring.Device(f)
	clear(data[keyPrefix+"k1"])
	if diff := cmp.Diff(before, ring.Device(f)); diff != "" {
		t.Errorf("digests (-before +after):\n%s", diff)
	}
}

func TestNewSecretData(t *testing.T) {
	one, other := NewSecretData(), NewSecretData()
	a, err := ParseKeyring(one)
	if err != nil {
		t.Fatal(err)
	}
	b, err := ParseKeyring(other)
	if err != nil {
		t.Fatal(err)
	}
	f := mustParse(t, "device-0001")
	if a.CurrentID() == b.CurrentID() || b.Device(f).Matches(a.Device(f).Digests[0]) {
		t.Error("two servers have one key")
	}
	if got := SecretName("asp1"); got != "asp1-keys" {
		t.Errorf("name %q", got)
	}
}
