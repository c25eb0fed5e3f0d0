package directory

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/binding"
	"github.com/tegata-dev/tegata/internal/credential"
	"github.com/tegata-dev/tegata/internal/password"
	"github.com/tegata-dev/tegata/internal/testenv"
)

// TestListsInPages: each user is read as it is, whichever page it is on, and with nothing of another.
func TestListsInPages(t *testing.T) {
	env := testenv.Shared(t)
	namespace := env.Namespace(t)
	want := map[string]bool{}
	for i := range 11 {
		user := testenv.User(namespace, fmt.Sprintf("user-%02d", i), server)
		if i%3 == 0 {
			user.Spec.Suspended = true
			user.Spec.Network.Viewer.AllowedMACs = []v1alpha1.MACAddress{"00:11:22:aa:bb:cc"}
		}
		create(t, env, user)
		if i%3 == 0 {
			changeStatus(t, env, user, func(s *v1alpha1.RelayUserStatus) {
				binding.Bind(s, v1alpha1.SlotPC, v1alpha1.Binding{ID: "b", Digest: "k1:own", Kind: v1alpha1.FingerprintOpaque, RegisteredTime: atNoon})
			})
		}
		want[user.Name] = i%3 == 0
	}
	f := prepare(newClient(t, env), namespace)
	f.source.users.pageSize = 2
	f.start(t)
	if f.Users() != len(want) {
		t.Errorf("%d users, want %d", f.Users(), len(want))
	}
	for name, odd := range want {
		stored := &v1alpha1.RelayUser{}
		if err := env.Client.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, stored); err != nil {
			t.Fatal(err)
		}
		account, _ := f.Lookup(name)
		if account == nil {
			t.Errorf("%s is not known", name)
			continue
		}
		if diff := cmp.Diff(accountOf(stored), account); diff != "" {
			t.Errorf("%s (-stored +known):\n%s", name, diff)
		}
		if account.User.Suspended != odd || (account.BindingIDs[0] != "") != odd || (len(account.User.ViewerNetwork.MACs) > 0) != odd {
			t.Errorf("%s: %+v", name, account)
		}
	}
}

func TestFollowsItsOwnServerOnly(t *testing.T) {
	env := testenv.Shared(t)
	namespace := env.Namespace(t)
	create(t, env, testenv.User(namespace, "ours", server))
	create(t, env, testenv.User(namespace, "theirs", "asp2"))
	create(t, env, testenv.User(env.Namespace(t), "elsewhere", server))
	f := follow(t, env, namespace)
	create(t, env, testenv.User(namespace, "theirs-too", "asp2"))
	last := create(t, env, testenv.User(namespace, "ours-too", server))
	testenv.Eventually(t, soon, func() error { return f.hasObserved(last.ResourceVersion) })
	for name, want := range map[string]bool{"ours": true, "ours-too": true, "theirs": false, "theirs-too": false, "elsewhere": false} {
		if err := f.knows(name, want)(); err != nil {
			t.Error(err)
		}
	}
}

// TestWatch: every write is observed in turn, and only a reset is worth telling the manager at once.
func TestWatch(t *testing.T) {
	env := testenv.Shared(t)
	namespace := env.Namespace(t)
	f := follow(t, env, namespace)
	user := create(t, env, testenv.User(namespace, "hanako", server))
	for _, step := range []struct {
		what   string
		change func()
		urgent bool
		check  func() error
	}{
		{"created", func() {}, false, f.knows("hanako", true)},
		{"suspended", func() {
			user.Spec.Suspended = true
			if err := env.Client.Update(t.Context(), user); err != nil {
				t.Fatal(err)
			}
		}, false, func() error {
			if a, _ := f.Lookup("hanako"); a == nil || !a.User.Suspended {
				return errors.New("not suspended")
			}
			return nil
		}},
		{"a failure", func() {
			changeStatus(t, env, user, func(s *v1alpha1.RelayUserStatus) { s.FailureCount++ })
		}, false, func() error { return nil }},
		{"enrolled", func() {
			changeStatus(t, env, user, func(s *v1alpha1.RelayUserStatus) {
				binding.Bind(s, v1alpha1.SlotPC, v1alpha1.Binding{ID: "b1", Digest: "k1:own", Kind: v1alpha1.FingerprintOpaque, RegisteredTime: atNoon})
			})
		}, true, func() error {
			if a, _ := f.Lookup("hanako"); a == nil || a.BindingIDs[0] != "b1" {
				return errors.New("not bound")
			}
			return nil
		}},
		{"reset", func() {
			changeStatus(t, env, user, func(s *v1alpha1.RelayUserStatus) {
				binding.Release{Slot: v1alpha1.SlotPC, BindingID: "b1", RequestID: "r1", UID: "u1", Now: noon}.Apply(s)
			})
		}, true, func() error {
			if a, _ := f.Lookup("hanako"); a == nil || a.BindingIDs[0] != "" || len(a.User.Slots[0].Revoked) != 1 {
				return errors.New("not reset")
			}
			return nil
		}},
		{"reset with nothing to clear", func() {
			changeStatus(t, env, user, func(s *v1alpha1.RelayUserStatus) {
				binding.Release{Slot: v1alpha1.SlotPC, RequestID: "r2", UID: "u2", Now: noon}.Apply(s)
			})
		}, true, func() error { return nil }},
	} {
		t.Run(step.what, func(t *testing.T) {
			step.change()
			testenv.Eventually(t, soon, func() error { return f.hasObserved(user.ResourceVersion) })
			if err := step.check(); err != nil {
				t.Error(err)
			}
			if got := f.urgentAt(user.ResourceVersion); got != step.urgent {
				t.Errorf("urgent: %t, want %t", got, step.urgent)
			}
		})
	}
	remove(t, env, user)
	testenv.Eventually(t, soon, f.knows("hanako", false))
	if err := f.hasObserved(user.ResourceVersion); err != nil {
		t.Error(err)
	}
	if f.Users() != 0 {
		t.Errorf("%d users are left", f.Users())
	}
}

// TestNameConflict: of two users with one login name the older is served, and the other once it is gone.
func TestNameConflict(t *testing.T) {
	env := testenv.Shared(t)
	namespace := env.Namespace(t)
	f := follow(t, env, namespace)
	older := create(t, env, testenv.User(namespace, "hanako", server))
	newer := testenv.User(namespace, "second", server, func(u *v1alpha1.RelayUser) { u.Spec.UserName = "ＨＡＮＡＫＯ" })
	create(t, env, newer)
	first, second := older, newer
	if older.CreationTimestamp.Equal(&newer.CreationTimestamp) && newer.UID < older.UID {
		first, second = newer, older // within one second the API tells no order: the UID does
	}
	served := func(u *v1alpha1.RelayUser) func() error {
		return func() error {
			if account, _ := f.Lookup("Hanako"); account == nil || account.UID != string(u.UID) {
				return fmt.Errorf("served is %+v, want %s", account, u.Name)
			}
			return nil
		}
	}
	testenv.Eventually(t, soon, func() error { return f.hasObserved(newer.ResourceVersion) })
	if err := served(first)(); err != nil {
		t.Error(err)
	}
	remove(t, env, first)
	testenv.Eventually(t, soon, served(second))
	remove(t, env, second)
	testenv.Eventually(t, soon, f.knows("hanako", false))
}

// TestRecreatedUserIsAnother: a user of an old name has nothing of the one before.
func TestRecreatedUserIsAnother(t *testing.T) {
	env := testenv.Shared(t)
	namespace := env.Namespace(t)
	f := follow(t, env, namespace)
	user := create(t, env, testenv.User(namespace, "hanako", server))
	f.putHashes(credential.Shard(user.UID), map[string]password.Hash{string(user.UID): mustParseHash(t)})
	testenv.Eventually(t, soon, f.knows("hanako", true))
	remove(t, env, user)
	again := create(t, env, testenv.User(namespace, "hanako", server))
	testenv.Eventually(t, soon, func() error {
		account, hash := f.Lookup("hanako")
		if account == nil || types.UID(account.UID) != again.UID {
			return fmt.Errorf("account %+v", account)
		}
		if !hash.IsZero() {
			return errors.New("it has the old one's password")
		}
		return nil
	})
}

// TestStopsWhole: nothing of a directory runs on after Run.
func TestStopsWhole(t *testing.T) {
	env := testenv.Shared(t)
	namespace := env.Namespace(t)
	before := goleak.IgnoreCurrent()
	t.Run("follow", func(t *testing.T) { follow(t, env, namespace) })
	// Idle connections belong to the transport that all clients of this test binary share.
	goleak.VerifyNone(t, before,
		goleak.IgnoreAnyFunction("golang.org/x/net/http2.(*ClientConn).readLoop"),
		goleak.IgnoreAnyFunction("net/http.(*http2ClientConn).readLoop"),
		goleak.IgnoreAnyFunction("net/http/internal/http2.(*ClientConn).readLoop"),
		goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"),
		goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"))
}
