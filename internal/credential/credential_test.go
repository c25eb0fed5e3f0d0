package credential_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/tegata-dev/tegata/internal/credential"
)

func TestEntryRoundTrip(t *testing.T) {
	want := credential.Entry{Hash: "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$a2V5", Source: "hanako-password/123/456"}
	value, err := credential.Encode(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := credential.Decode(value)
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func TestDecodeRefuses(t *testing.T) {
	const secret = "s3cret-s3cret"
	for name, value := range map[string]string{
		"nothing":                 "",
		"null":                    "null",
		"a bare hash":             secret,
		"a JSON string":           `"` + secret + `"`,
		"a list":                  `["` + secret + `"]`,
		"no hash":                 `{"source":"` + secret + `"}`,
		"an empty hash":           `{"hash":"","source":"` + secret + `"}`,
		"a hash that is not text": `{"hash":12345678901,"source":"` + secret + `"}`,
		"two values":              `{"hash":"` + secret + `"}{}`,
		"cut off":                 `{"hash":"` + secret,
	} {
		t.Run(name, func(t *testing.T) {
			e, err := credential.Decode([]byte(value))
			if err == nil || e != (credential.Entry{}) {
				t.Fatalf("taken: %v", e)
			}
			if strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "12345678901") {
				t.Errorf("the error quotes the value: %v", err)
			}
		})
	}
}

// TestLayoutIsFixed: where a user's entry is must not change from one release to the next.
func TestLayoutIsFixed(t *testing.T) {
	const uid = types.UID("6f1d3c1e-3f8e-4a0e-9d55-0d1c1b2a3f40")
	if got := credential.Shard(uid); got != 40 {
		t.Errorf("shard %d", got)
	}
	if got := credential.Key(uid); got != string(uid) {
		t.Errorf("key %q", got)
	}
	names := credential.SecretNames("asp1")
	if len(names) != credential.Shards || names[0] != "asp1-credentials-0" || names[63] != "asp1-credentials-63" {
		t.Errorf("names %v", names)
	}
	for _, name := range credential.SecretNames(strings.Repeat("s", 40)) {
		if errs := validation.IsDNS1123Subdomain(name); len(errs) > 0 {
			t.Errorf("%s: %v", name, errs)
		}
	}
	if errs := validation.IsConfigMapKey(credential.Key(uid)); len(errs) > 0 {
		t.Errorf("the key of an entry: %v", errs)
	}
}

// TestShardStaysSmall: of 100,000 users no Secret comes near the 1 MiB that an object may have.
func TestShardStaysSmall(t *testing.T) {
	const users = 100_000
	entry, err := credential.Encode(credential.Entry{
		Hash:   "$argon2id$v=19$m=131072,t=16,p=4$" + strings.Repeat("s", 22) + "$" + strings.Repeat("k", 43),
		Source: strings.Repeat("n", 63) + "/" + uuid.NewString() + "/1234567890",
	})
	if err != nil {
		t.Fatal(err)
	}
	var count [credential.Shards]int
	for range users {
		count[credential.Shard(types.UID(uuid.NewString()))]++
	}
	data := map[string][]byte{}
	for i := range slices.Max(count[:]) {
		data[fmt.Sprintf("%036d", i)] = entry
	}
	size, err := json.Marshal(data)
	if err != nil {
		t.Fatal(err)
	}
	if len(size) > 800<<10 {
		t.Errorf("%d users are %d KiB", len(data), len(size)>>10)
	}
}
