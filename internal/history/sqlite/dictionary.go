package sqlite

import (
	"errors"

	"github.com/tegata-dev/tegata/internal/history"
)

// dictionary is what is known of the numbers of texts in one month's file, of who writes. It is bounded: what is not
// in it is read.
type dictionary struct {
	// young are the profiles used since there were half as many as may be; old those of the time before.
	young, old map[known]profileKeys
	kinds      map[kindWords]int64
	tellers    map[tellerWords]int64
}

type kindWords struct {
	relay                   int64
	program, result, reason string
}

type tellerWords struct{ listener, sidecar string }

// profileKeys are the numbers that follow from a profile.
type profileKeys struct{ profile, account, relay, space int64 }

const (
	maxProfiles = 1 << 18
	maxWords    = 1 << 12
)

func (d *dictionary) clear() {
	*d = dictionary{
		young: map[known]profileKeys{}, old: map[known]profileKeys{},
		kinds: map[kindWords]int64{}, tellers: map[tellerWords]int64{},
	}
}

func (d *dictionary) profile(h known) (profileKeys, bool) {
	k, ok := d.young[h]
	if ok {
		return k, true
	}
	if k, ok = d.old[h]; ok {
		d.learn(h, k)
	}
	return k, ok
}

func (d *dictionary) learn(h known, k profileKeys) {
	if len(d.young) >= maxProfiles/2 {
		d.young, d.old = map[known]profileKeys{}, d.young
	}
	d.young[h] = k
}

// keysOf are the numbers of a record's texts, which get some when they have none.
func (m *month) keysOf(r *history.Record) (keys, error) {
	p, err := m.profileOf(r)
	if err != nil {
		return keys{}, err
	}
	k := keys{space: p.space, relay: p.relay, account: p.account, profile: p.profile}
	if k.kind, err = m.kindOf(p.relay, r); err != nil {
		return keys{}, err
	}
	k.teller, err = m.tellerOf(r)
	return k, err
}

func (m *month) profileOf(r *history.Record) (profileKeys, error) {
	name := knownAs(r)
	if k, ok := m.known.profile(name); ok {
		return k, nil
	}
	h := hashOf(r)
	k, err := m.findProfile(h)
	if isNone(err) {
		k, err = m.addProfile(h, r)
	}
	if err == nil {
		m.known.learn(name, k)
	}
	return k, err
}

func (m *month) findProfile(h hash) (k profileKeys, err error) {
	err = m.scanRow([]any{&k.profile, &k.account, &k.relay, &k.space}, `SELECT p.id, a.id, e.id, e.space FROM profile p
  CROSS JOIN account a ON a.id = p.account CROSS JOIN relay e ON e.id = a.relay WHERE p.hash = ?`, h[:])
	return k, err
}

func (m *month) addProfile(h hash, r *history.Record) (k profileKeys, err error) {
	if k.relay, k.space, err = m.relayOf(r.Namespace, r.Server); err != nil {
		return k, err
	}
	err = m.scanRow([]any{&k.account}, "SELECT id FROM account WHERE relay = ? AND user = ?", k.relay, r.User)
	if isNone(err) {
		k.account, err = m.insert("INSERT INTO account (relay, user) VALUES (?, ?)", k.relay, r.User)
	}
	if err != nil {
		return k, err
	}
	k.profile, err = m.insert(`INSERT INTO profile (hash, account, user_name, viewer, slot, mac, digest, destination, source_viewer)
  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`, h[:], k.account, r.UserName, r.Viewer, r.Slot, r.MACAddress, r.DeviceDigest, r.Destination, r.SourceViewer)
	return k, err
}

func (m *month) relayOf(namespace, server string) (id, space int64, err error) {
	err = m.scanRow([]any{&id, &space}, "SELECT id, space FROM relay WHERE namespace = ? AND server = ?", namespace, server)
	if !isNone(err) {
		return id, space, err
	}
	err = m.scanRow([]any{&space}, "SELECT space FROM relay WHERE namespace = ? LIMIT 1", namespace)
	if isNone(err) {
		err = m.scanRow([]any{&space}, "SELECT coalesce(max(space), 0) + 1 FROM relay")
	}
	if err != nil {
		return 0, 0, err
	}
	id, err = m.insert("INSERT INTO relay (space, namespace, server) VALUES (?, ?, ?)", space, namespace, server)
	return id, space, err
}

func (m *month) kindOf(relay int64, r *history.Record) (int64, error) {
	words := kindWords{relay, r.Program, string(r.Result), r.Reason}
	return number(m, m.known.kinds, words,
		"INSERT INTO kind (relay, program, result, reason) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
		"SELECT id FROM kind WHERE relay = ? AND program = ? AND result = ? AND reason = ?",
		relay, r.Program, string(r.Result), r.Reason)
}

func (m *month) tellerOf(r *history.Record) (int64, error) {
	return number(m, m.known.tellers, tellerWords{r.Listener, r.Sidecar},
		"INSERT INTO teller (listener, sidecar) VALUES (?, ?) ON CONFLICT DO NOTHING",
		"SELECT id FROM teller WHERE listener = ? AND sidecar = ?", r.Listener, r.Sidecar)
}

// number is that of words, which get one when they have none.
func number[K comparable](m *month, known map[K]int64, words K, add, find string, args ...any) (id int64, err error) {
	if id, ok := known[words]; ok {
		return id, nil
	}
	if _, err := m.exec(add, args...); err != nil {
		return 0, err
	}
	if err := m.scanRow([]any{&id}, find, args...); err != nil {
		return 0, err
	}
	if len(known) >= maxWords {
		clear(known)
	}
	known[words] = id
	return id, nil
}

// insert adds a row, and is its number.
func (m *month) insert(text string, args ...any) (int64, error) {
	result, err := m.exec(text, args...)
	if err != nil {
		return 0, err
	}
	return result.LastInsertId()
}

// scanRow reads the one row that a statement finds, on the writer's connection.
func (m *month) scanRow(into []any, text string, args ...any) error {
	row, err := m.row(text, args...)
	if err != nil {
		return err
	}
	return errors.Join(row.Scan(into...))
}
