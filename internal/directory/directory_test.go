package directory

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/binding"
	"github.com/tegata-dev/tegata/internal/credential"
	"github.com/tegata-dev/tegata/internal/fingerprint"
	"github.com/tegata-dev/tegata/internal/password"
)

func namedUser(uid, name, userName string, created time.Time) *v1alpha1.RelayUser {
	return &v1alpha1.RelayUser{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(uid), CreationTimestamp: metav1.NewTime(created)},
		Spec:       v1alpha1.RelayUserSpec{UserName: userName},
	}
}

// TestLookup: the name is spec.userName, or metadata.name without one, in any spelling of it.
func TestLookup(t *testing.T) {
	d := New(server)
	d.put(namedUser("1", "hanako", "", noon), 1)
	d.put(namedUser("2", "u-0002", "Tarō@Example.com", noon), 1)
	d.put(namedUser("3", "bad", "two words", noon), 1)
	for typed, want := range map[string]string{
		"hanako": "1", "HANAKO": "1", "ｈａｎａｋｏ": "1",
		"taro\u0304@example.com": "2", "TARŌ@EXAMPLE.COM": "2",
		"u-0002": "", "bad": "", "two words": "", "": "", "hanako ": "", "\xff": "",
		strings.Repeat("x", 1<<20): "",
	} {
		got := ""
		if account, _ := d.Lookup(typed); account != nil {
			got = account.UID
		}
		if got != want {
			t.Errorf("%.20q: user %q, want %q", typed, got, want)
		}
	}
}

// TestServedFirst: the oldest of one name, of equally old ones that with the lowest UID, in whatever order
// they come, and the next one when it goes.
func TestServedFirst(t *testing.T) {
	users := []*v1alpha1.RelayUser{
		namedUser("9", "oldest", "same", noon.Add(-time.Hour)),
		namedUser("2", "second", "Same", noon),
		namedUser("3", "third", "SAME", noon),
		namedUser("1", "newest", "ｓａｍｅ", noon.Add(time.Second)),
	}
	for _, order := range [][]int{{0, 1, 2, 3}, {3, 2, 1, 0}, {2, 0, 3, 1}} {
		d := New(server)
		for _, i := range order {
			d.put(users[i], 1)
		}
		for _, u := range users {
			if account, _ := d.Lookup("same"); account == nil || account.Name != u.Name {
				t.Errorf("order %v: served is %+v, want %s", order, account, u.Name)
			}
			d.put(u, 1) // an update does not change whose turn it is
			if account, _ := d.Lookup("same"); account == nil || account.Name != u.Name {
				t.Errorf("order %v: after an update served is %+v, want %s", order, account, u.Name)
			}
			d.remove(string(u.UID))
		}
		if len(d.users)+len(d.names) != 0 {
			t.Errorf("%d users and %d names are left", len(d.users), len(d.names))
		}
	}
}

// TestAccountsAreNotChanged: what a login holds stays as it was when the directory moves on.
func TestAccountsAreNotChanged(t *testing.T) {
	d := New(server)
	u := namedUser("1", "hanako", "", noon)
	d.put(u, 1)
	before, _ := d.Lookup("hanako")
	u.Spec.Suspended = true
	d.put(u, 1)
	after, _ := d.Lookup("hanako")
	if before.User.Suspended || !after.User.Suspended {
		t.Errorf("before %+v, after %+v", before.User, after.User)
	}
}

func TestEmptyDirectory(t *testing.T) {
	d := New(server)
	account, hash := d.Lookup("hanako")
	resourceVersion, at := d.Observed()
	f, err := fingerprint.ParseOpaque("device-0001")
	if err != nil {
		t.Fatal(err)
	}
	if account != nil || !hash.IsZero() || d.Policy() != nil || resourceVersion != "" || !at.IsZero() || len(d.Device(f).Digests) != 0 || d.Users() != 0 {
		t.Error("it knows something")
	}
}

// typicalUser is a user with a bound PC, each string of its own, as a decoder makes them.
func typicalUser(i int) *v1alpha1.RelayUser {
	u := namedUser(uuid.NewString(), fmt.Sprintf("user-%06d", i), "", noon)
	binding.Bind(&u.Status, v1alpha1.SlotPC, v1alpha1.Binding{
		ID: strings.Clone("ABCDEFGHIJKLMNOPQRSTUVWXYZ"), Digest: v1alpha1.DeviceDigest("k1234567:" + strings.Repeat("d", 43)),
		Kind: v1alpha1.FingerprintOpaque, RegisteredTime: atNoon,
	})
	u.Status.LastLoginTime = &atNoon
	return u
}

// bytesPerUser measures the heap that a directory of many users holds on to, hashes included.
func bytesPerUser(tb testing.TB, users int) float64 {
	tb.Helper()
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	d := New(server)
	for n := range credential.Shards {
		d.putHashes(n, map[string]password.Hash{})
	}
	for i := range users {
		u := typicalUser(i)
		d.put(u, 1)
		h, err := password.Parse(testHash)
		if err != nil {
			tb.Fatal(err)
		}
		d.hashes[credential.Shard(u.UID)][strings.Clone(string(u.UID))] = storedHash{hash: h, mark: h.Mark()}
	}
	after := heap()
	runtime.KeepAlive(d)
	return float64(after-before) / float64(users)
}

// TestMemory: a directory keeps what a login needs and not whole objects, which take some 4 KB each.
func TestMemory(t *testing.T) {
	const users, limit = 20_000, 1500
	got := bytesPerUser(t, users)
	t.Logf("%.0f bytes a user, its hash included", got)
	if got > limit {
		t.Errorf("%.0f bytes a user, want at most %d", got, limit)
	}
}

func BenchmarkLookup(b *testing.B) {
	d := New(server)
	for i := range 20_000 {
		d.put(typicalUser(i), 1)
	}
	b.ReportAllocs()
	for b.Loop() {
		_, _ = d.Lookup("user-010000")
	}
}
