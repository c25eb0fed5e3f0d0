package directory

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tegata-dev/tegata/internal/credential"
	"github.com/tegata-dev/tegata/internal/fingerprint"
	"github.com/tegata-dev/tegata/internal/password"
	"github.com/tegata-dev/tegata/internal/testenv"
)

func keySecret(namespace string, data map[string][]byte) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: fingerprint.SecretName(server)}, Data: data}
}

// TestKeys: without a readable key Secret no device is recognised, and with it mended they are again.
func TestKeys(t *testing.T) {
	env := testenv.Shared(t)
	namespace := env.Namespace(t)
	f := follow(t, env, namespace)
	device, err := fingerprint.ParseOpaque("device-0001")
	if err != nil {
		t.Fatal(err)
	}
	recognised := func(want bool) func() error {
		return func() error {
			if got := len(f.Device(device).Digests) > 0; got != want {
				return fmt.Errorf("recognised: %t, want %t", got, want)
			}
			return nil
		}
	}
	if err := recognised(false)(); err != nil {
		t.Error(err)
	}
	data := fingerprint.NewSecretData()
	secret := create(t, env, keySecret(namespace, data))
	testenv.Eventually(t, soon, recognised(true))
	digest := f.Device(device).Digests[0]

	for name, garbage := range map[string]map[string][]byte{
		"garbage":      {"fingerprint-current": []byte("k1"), "fingerprint.k1": []byte("short")},
		"emptied":      nil,
		"another kind": {"password": []byte("x")},
	} {
		secret.Data = garbage
		if err := env.Client.Update(t.Context(), secret); err != nil {
			t.Fatal(name, err)
		}
		testenv.Eventually(t, soon, recognised(false))
		secret.Data = data
		if err := env.Client.Update(t.Context(), secret); err != nil {
			t.Fatal(name, err)
		}
		testenv.Eventually(t, soon, recognised(true))
	}
	if got := f.Device(device).Digests[0]; got != digest {
		t.Errorf("digest %s, was %s", got, digest)
	}
	remove(t, env, secret)
	testenv.Eventually(t, soon, recognised(false))
}

const testHash = "$argon2id$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"

// TestCredentials: an entry that cannot be used keeps its own user out, and nobody else.
func TestCredentials(t *testing.T) {
	env := testenv.Shared(t)
	namespace := env.Namespace(t)
	f := follow(t, env, namespace)
	good := create(t, env, testenv.User(namespace, "good", server))
	entry, err := credential.Encode(credential.Entry{Hash: testHash, Source: "s"})
	if err != nil {
		t.Fatal(err)
	}
	costly, err := credential.Encode(credential.Entry{Hash: "$argon2id$v=19$m=4194304,t=1,p=1$MDEyMzQ1Njc4OWFiY2RlZg$MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY", Source: "s"})
	if err != nil {
		t.Fatal(err)
	}
	name := credential.SecretName(server, credential.Shard(good.UID))
	secret := create(t, env, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Data: map[string][]byte{
		credential.Key(good.UID): entry,
		"garbage":                []byte("{"),
		"costly":                 costly,
	}})
	hashOf := func(want string) func() error {
		return func() error {
			account, hash := f.Lookup("good")
			if account == nil || hash.Encoded() != want {
				return fmt.Errorf("account %v, hash %s", account, hash)
			}
			return nil
		}
	}
	testenv.Eventually(t, soon, hashOf(testHash))
	if got := slices.Collect(maps.Keys(f.hashes[credential.Shard(good.UID)])); len(got) != 1 {
		t.Errorf("entries of %v are taken", got)
	}

	secret.Data[credential.Key(good.UID)] = []byte("garbage")
	if err := env.Client.Update(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, soon, hashOf(""))
	secret.Data[credential.Key(good.UID)] = entry
	if err := env.Client.Update(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, soon, hashOf(testHash))
	remove(t, env, secret)
	testenv.Eventually(t, soon, hashOf(""))
	if _, hash := f.Lookup("nobody"); !hash.Equal(password.Hash{}) {
		t.Error("somebody unknown has a hash")
	}
}

func TestPolicyFollowsTheServer(t *testing.T) {
	env := testenv.Shared(t)
	namespace := env.Namespace(t)
	f := follow(t, env, namespace)
	if p := f.Policy(); p != nil {
		t.Errorf("a policy without a server: %+v", p)
	}
	create(t, env, testenv.Server(namespace, "asp2"))
	s := create(t, env, testenv.Server(namespace, server))
	code := func(want int) func() error {
		return func() error {
			p := f.Policy()
			if p == nil || p.Denial.Code != want {
				return fmt.Errorf("policy %+v, want the code %d", p, want)
			}
			return nil
		}
	}
	testenv.Eventually(t, soon, code(293))
	s.Spec.Denial.Code = 500
	if err := env.Client.Update(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, soon, code(500))
	remove(t, env, s)
	testenv.Eventually(t, soon, func() error {
		if p := f.Policy(); p != nil {
			return fmt.Errorf("policy %+v", p)
		}
		return nil
	})
	create(t, env, testenv.Server(namespace, server))
	testenv.Eventually(t, soon, code(293))
}

// TestUnlistedObjectIsGone: an object that was deleted while no watch told so is missed by the next list.
func TestUnlistedObjectIsGone(t *testing.T) {
	var got []string
	s := &singleSink[*corev1.Secret]{
		set:   func(o *corev1.Secret) { got = append(got, o.Name) },
		unset: func() { got = append(got, "gone") },
	}
	for _, names := range [][]string{{"a"}, {"b"}, {}} {
		s.begin()
		for _, name := range names {
			s.put(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}}, true)
		}
		s.commit("1")
	}
	if want := []string{"a", "b", "gone"}; !slices.Equal(got, want) {
		t.Errorf("told %v, want %v", got, want)
	}
}

func mustParseHash(t testing.TB) password.Hash {
	t.Helper()
	h, err := password.Parse(testHash)
	if err != nil {
		t.Fatal(err)
	}
	return h
}
