// Package directory is the sidecar's memory of one relay: its users by login name, their credentials, its
// policy and its keys, kept current by watches.
//
// It keeps compact accounts, not whole objects. It only reads, and only what the sidecar's Role names:
// the RelayUsers and the RelayServer, the Secrets with hashes and keys, one watch for each Secret.
package directory

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/authn"
	"github.com/tegata-dev/tegata/internal/credential"
	"github.com/tegata-dev/tegata/internal/decision"
	"github.com/tegata-dev/tegata/internal/fingerprint"
	"github.com/tegata-dev/tegata/internal/loginname"
	"github.com/tegata-dev/tegata/internal/nas"
	"github.com/tegata-dev/tegata/internal/password"
	"github.com/tegata-dev/tegata/internal/session"
)

// Directory is the current state. Its readers never wait for the API server.
type Directory struct {
	server string

	policy      atomic.Pointer[authn.Policy]
	keyring     atomic.Pointer[fingerprint.Keyring]
	sessionKeys atomic.Pointer[session.Keys]
	radius      radius

	mu    sync.RWMutex
	users map[string]*entry   // by UID
	names map[string][]*entry // by normalised login name, the one that is served first
	// subjects are those of users that somebody follows, by UID.
	subjects map[string]*authn.Subject
	hashes   [credential.Shards]map[string]storedHash // by UID

	// observed is the newest resourceVersion of RelayUsers that users reflects, and when it was told so.
	observed     string
	observedTime time.Time

	onObserved func(resourceVersion string, urgent bool)
	onChange   func(uid string)
}

// storedHash is a credential, with its mark, which every request under a session is compared with.
type storedHash struct {
	hash password.Hash
	mark password.Mark
}

// entry is one RelayUser, whether or not it is the one that is served under its name.
type entry struct {
	account         *authn.Account
	resourceVersion uint64 // 0 when it is no number
	loginName       string
	created         int64 // seconds since the epoch: creation times have no more
	// resets changes with every DeviceReset that is carried out on the user.
	resets   int64
	list     uint64 // the list in which it was last seen
	advanced bool   // ahead of the events
}

// New makes an empty directory of one server.
func New(server string) *Directory {
	return &Directory{
		server: server,
		users:  map[string]*entry{},
		names:  map[string][]*entry{},

		subjects: map[string]*authn.Subject{},
	}
}

var _ authn.Directory = (*Directory)(nil)

// Policy is the relay's policy, nil while it is not known and once the relay is gone.
func (d *Directory) Policy() *authn.Policy { return d.policy.Load() }

// RADIUS are the RADIUS clients, nil while none may ask.
func (d *Directory) RADIUS() *nas.Table { return d.radius.table.Load() }

// Lookup finds the account that is served under a login name, and its credential.
func (d *Directory) Lookup(userName string) (*authn.Account, password.Hash) {
	name, err := loginname.Normalize(userName)
	if err != nil {
		return nil, password.Hash{}
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	candidates := d.names[name]
	if len(candidates) == 0 {
		return nil, password.Hash{}
	}
	account := candidates[0].account
	return account, d.credential(account.UID).hash
}

// Subject follows a user, nil when there is none of that UID.
func (d *Directory) Subject(uid string) *authn.Subject {
	d.mu.RLock()
	subject, known := d.subjects[uid], d.users[uid] != nil
	d.mu.RUnlock()
	if subject != nil || !known {
		return subject
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.users[uid] == nil || d.subjects[uid] != nil {
		return d.subjects[uid]
	}
	subject = &authn.Subject{}
	d.subjects[uid] = subject
	d.refresh(uid)
	return subject
}

// NameOf is the name of the RelayUser of a UID, whether or not it is served; empty when there is none.
func (d *Directory) NameOf(uid string) string {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if e := d.users[uid]; e != nil {
		return e.account.Name
	}
	return ""
}

// refresh tells those who follow a user what it is now. It needs d.mu.
func (d *Directory) refresh(uid string) {
	subject := d.subjects[uid]
	if subject == nil {
		return
	}
	e := d.users[uid]
	if e == nil {
		subject.Become(nil)
		delete(d.subjects, uid)
		return
	}
	if candidates := d.names[e.loginName]; len(candidates) == 0 || candidates[0] != e {
		subject.Become(nil) // another user is served under this one's name
		return
	}
	subject.Become(&authn.State{Account: e.account, Credential: d.credential(uid).mark})
}

// refreshName tells those who follow any user of a login name. It needs d.mu.
func (d *Directory) refreshName(name string) {
	for _, e := range d.names[name] {
		d.refresh(e.account.UID)
	}
}

// credential needs d.mu.
func (d *Directory) credential(uid string) storedHash {
	return d.hashes[credential.Shard(types.UID(uid))][uid]
}

// SessionKeys are the keys that sign sessions, nil while they are not known.
func (d *Directory) SessionKeys() *session.Keys { return d.sessionKeys.Load() }

// OnChange has f, which must not block, told of each user that may be decided otherwise than before. It is
// to be called before the directory's Source runs.
func (d *Directory) OnChange(f func(uid string)) { d.onChange = f }

func (d *Directory) changed(uids ...string) {
	if d.onChange == nil {
		return
	}
	for _, uid := range uids {
		d.onChange(uid)
	}
}

// Device digests a fingerprint; the zero Device while no key is known.
func (d *Directory) Device(f fingerprint.Fingerprint) decision.Device {
	ring := d.keyring.Load()
	if ring == nil {
		return decision.Device{}
	}
	return ring.Device(f)
}

// Observed is the newest resourceVersion of RelayUsers that lookups reflect, and when the API server last
// confirmed it, by an event, a bookmark or a list.
func (d *Directory) Observed() (resourceVersion string, at time.Time) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.observed, d.observedTime
}

// Users is how many users are known.
func (d *Directory) Users() int {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return len(d.users)
}

// put adds or replaces a user, and says whether a slot of it may have been reset since it was last seen. A
// login name that is none is kept out of names: it is never served.
func (d *Directory) put(u *v1alpha1.RelayUser, list uint64) (reset bool) {
	e := newEntry(u)
	e.list = list
	d.mu.Lock()
	old := d.users[e.account.UID]
	// Only where it was advanced: once a backup of the API server's is restored, all versions are lower.
	if old != nil && old.advanced && old.resourceVersion > e.resourceVersion && e.resourceVersion > 0 {
		old.list = list
		d.mu.Unlock()
		return false
	}
	d.replace(e)
	d.mu.Unlock()
	d.changed(e.account.UID)
	return old != nil && (old.resets != e.resets || old.account.BindingIDs != e.account.BindingIDs)
}

// Advance takes what the API server answered to a write to a user, ahead of the event that tells of it. It
// makes no user known that is not, or not any more.
func (d *Directory) Advance(u *v1alpha1.RelayUser) {
	e := newEntry(u)
	d.mu.Lock()
	old := d.users[e.account.UID]
	known := old != nil && e.resourceVersion > old.resourceVersion && old.resourceVersion > 0
	if known {
		e.list, e.advanced = old.list, true
		d.replace(e)
	}
	d.mu.Unlock()
	if known {
		d.changed(e.account.UID)
	}
}

func newEntry(u *v1alpha1.RelayUser) *entry {
	name, err := loginname.Normalize(u.LoginName())
	if err != nil {
		name = ""
	}
	// Of one kind of object they compare as decimal numbers (KEP-5504).
	resourceVersion, _ := strconv.ParseUint(u.ResourceVersion, 10, 64)
	return &entry{
		account: accountOf(u), resourceVersion: resourceVersion, loginName: name, created: u.CreationTimestamp.Unix(),
		resets: resetMark(u),
	}
}

// replace needs d.mu.
func (d *Directory) replace(e *entry) {
	d.forget(e.account.UID)
	d.users[e.account.UID] = e
	if e.loginName != "" {
		d.names[e.loginName] = insertServedFirst(d.names[e.loginName], e)
	}
	d.refresh(e.account.UID)
	d.refreshName(e.loginName)
}

func resetMark(u *v1alpha1.RelayUser) int64 {
	var mark int64
	for i := range u.Status.Slots {
		s := &u.Status.Slots[i]
		mark += int64(len(s.HandledResets)) << 40
		mark += timeOf(s.LastResetTime).Unix()
	}
	return mark
}

func (d *Directory) remove(uid string) {
	d.mu.Lock()
	d.drop(uid)
	d.mu.Unlock()
	d.changed(uid)
}

// drop needs d.mu.
func (d *Directory) drop(uid string) {
	e := d.users[uid]
	d.forget(uid)
	d.refresh(uid)
	if e != nil {
		d.refreshName(e.loginName)
	}
}

// forget takes a user out of the indexes. It needs d.mu.
func (d *Directory) forget(uid string) {
	e := d.users[uid]
	if e == nil {
		return
	}
	delete(d.users, uid)
	left := slices.DeleteFunc(slices.Clone(d.names[e.loginName]), func(o *entry) bool { return o == e })
	if len(left) == 0 {
		delete(d.names, e.loginName)
		return
	}
	d.names[e.loginName] = left
}

// dropUnlisted removes the users that a complete list did not hold.
func (d *Directory) dropUnlisted(list uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for uid, e := range d.users {
		if e.list != list {
			d.drop(uid)
		}
	}
}

// insertServedFirst orders users of one login name: the oldest is served, of equally old ones that with
// the lowest UID. The manager marks the others UserNameConflict by the same order.
func insertServedFirst(entries []*entry, e *entry) []*entry {
	entries = append(slices.Clone(entries), e)
	slices.SortFunc(entries, func(a, b *entry) int {
		return cmp.Or(cmp.Compare(a.created, b.created), strings.Compare(a.account.UID, b.account.UID))
	})
	return entries
}

// observe notes how far users reflects the API server. Urgent says that a slot was freed: a DeviceReset
// may be waiting to hear of it.
func (d *Directory) observe(resourceVersion string, urgent bool) {
	d.mu.Lock()
	d.observed = resourceVersion
	d.observedTime = time.Now()
	d.mu.Unlock()
	if d.onObserved != nil {
		d.onObserved(resourceVersion, urgent)
	}
}

// putHashes replaces the credentials of one Secret.
func (d *Directory) putHashes(shard int, byUID map[string]password.Hash) {
	stored := make(map[string]storedHash, len(byUID))
	for uid, hash := range byUID {
		stored[uid] = storedHash{hash: hash, mark: hash.Mark()}
	}
	d.mu.Lock()
	before := d.hashes[shard]
	d.hashes[shard] = stored
	var changed []string
	for uid := range d.subjects {
		if credential.Shard(types.UID(uid)) == shard && stored[uid].mark != before[uid].mark {
			changed = append(changed, uid)
		}
	}
	for _, uid := range changed {
		d.refresh(uid)
	}
	d.mu.Unlock()
	d.changed(changed...)
}
