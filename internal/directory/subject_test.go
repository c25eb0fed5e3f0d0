package directory

import (
	"slices"
	"testing"
	"time"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/credential"
	"github.com/tegata-dev/tegata/internal/password"
)

func mustHash(t *testing.T) password.Hash {
	t.Helper()
	h, err := password.Parse(testHash)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// TestSubjectFollowsItsUser: who holds it sees every change, without looking the user up again.
func TestSubjectFollowsItsUser(t *testing.T) {
	d := New(server)
	var told []string
	d.OnChange(func(uid string) { told = append(told, uid) })
	expect := func(step string) {
		t.Helper()
		if !slices.Contains(told, "1") {
			t.Errorf("%s: nobody was told", step)
		}
		told = nil
	}
	if d.Subject("1") != nil {
		t.Error("a user that is not known can be followed")
	}
	u := namedUser("1", "hanako", "", noon)
	d.put(u, 1)
	s := d.Subject("1")
	if s == nil || s != d.Subject("1") || s.State() == nil || s.State().Account.Name != "hanako" {
		t.Fatalf("followed: %+v", s.State())
	}
	expect("put")

	u = u.DeepCopy()
	u.Spec.Suspended = true
	d.put(u, 1)
	if !s.State().Account.User.Suspended {
		t.Error("a change is not seen")
	}
	expect("changed")

	h := mustHash(t)
	d.putHashes(credential.Shard("1"), map[string]password.Hash{"1": h})
	if s.State().Credential != h.Mark() {
		t.Error("a password is not seen")
	}
	expect("password")
	before := s.State()
	d.putHashes(credential.Shard("1"), map[string]password.Hash{"1": h})
	if s.State() != before || len(told) > 0 {
		t.Error("the same password is a change")
	}
	d.putHashes(credential.Shard("1"), nil)
	if s.State().Credential != (password.Mark{}) {
		t.Error("a password that is gone is not seen")
	}
	expect("no password")

	d.remove("1")
	if s.State() != nil || d.Subject("1") != nil || len(d.subjects) != 0 {
		t.Error("a deletion is not seen")
	}
	expect("deleted")
}

// TestSubjectOfAnotherOfTheName: only the one that is served has a state.
func TestSubjectOfAnotherOfTheName(t *testing.T) {
	d := New(server)
	d.put(namedUser("2", "second", "same", noon), 1)
	second := d.Subject("2")
	if second.State() == nil {
		t.Fatal("the only one is not served")
	}
	d.put(namedUser("1", "oldest", "SAME", noon.Add(-time.Hour)), 1)
	first := d.Subject("1")
	if second.State() != nil || first.State() == nil {
		t.Errorf("with an older one: %v, %v", first.State(), second.State())
	}
	d.remove("1")
	if second.State() == nil || first.State() != nil {
		t.Errorf("without it: %v, %v", first.State(), second.State())
	}
	d.dropUnlisted(2)
	if second.State() != nil {
		t.Error("a user that a list did not hold is served")
	}
}

// TestAdvance: a write of our own is known before its event comes, and no older event undoes it.
func TestAdvance(t *testing.T) {
	d := New(server)
	at := func(resourceVersion, memo string, suspended bool) *v1alpha1.RelayUser {
		u := namedUser("1", "hanako", "", noon)
		u.ResourceVersion, u.Spec.Memo, u.Spec.Suspended = resourceVersion, memo, suspended
		return u
	}
	suspended := func() bool {
		account, _ := d.Lookup("hanako")
		return account != nil && account.User.Suspended
	}
	d.Advance(at("12", "", true))
	if d.Users() != 0 {
		t.Fatal("a user became known that was in no list")
	}
	d.put(at("10", "", false), 1)
	d.Advance(at("12", "", true))
	if !suspended() {
		t.Error("a newer state is not taken")
	}
	d.put(at("11", "", false), 1)
	if !suspended() {
		t.Error("an older event undid it")
	}
	d.Advance(at("9", "", false))
	if !suspended() {
		t.Error("an older state is taken")
	}
	d.put(at("11", "", false), 2)
	d.dropUnlisted(2)
	if d.Users() != 1 {
		t.Error("a user whose listed state is older is dropped")
	}
	d.put(at("13", "", false), 2)
	if suspended() {
		t.Error("a newer event is not taken")
	}
	d.remove("1")
	d.Advance(at("14", "", false))
	if d.Users() != 0 {
		t.Error("a deleted user has come back")
	}
}

// TestRestoredBackup: the API server's word counts, though its versions have gone back.
func TestRestoredBackup(t *testing.T) {
	d := New(server)
	u := namedUser("1", "hanako", "", noon)
	u.ResourceVersion = "10"
	d.put(u, 1)
	u = u.DeepCopy()
	u.ResourceVersion = "1000"
	d.Advance(u)
	d.put(u, 1) // the event of the write
	u = u.DeepCopy()
	u.ResourceVersion, u.Spec.Suspended = "600", true
	d.put(u, 2)
	if account, _ := d.Lookup("hanako"); account == nil || !account.User.Suspended {
		t.Error("what the API server says is not taken")
	}
}

// TestNamesOfUsersWhoAreNotServed: a session may end while another user has its user's login name.
func TestNamesOfUsersWhoAreNotServed(t *testing.T) {
	d := New(server)
	d.put(namedUser("1", "hanako", "shared", noon), 1)
	d.put(namedUser("2", "taro", "shared", noon.Add(time.Second)), 1)
	if d.Subject("2").State() != nil {
		t.Fatal("both are served")
	}
	for uid, want := range map[string]string{"1": "hanako", "2": "taro", "3": ""} {
		if got := d.NameOf(uid); got != want {
			t.Errorf("%s is %q, want %q", uid, got, want)
		}
	}
}
