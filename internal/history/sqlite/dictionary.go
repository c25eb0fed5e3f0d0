package sqlite

import (
	"errors"

	"github.com/tegata-dev/tegata/internal/history"
)

// dictionary is what is known of the numbers of texts in one month's file, of who writes. It is bounded: what is not
// in it is read.
type dictionary struct {
	// young are the profiles used since there were half as many as may be; old those of the time before.
	young, old map[hash]profileKeys
	kinds      map[[3]string]int64
	tellers    map[[2]string]int64
}

// profileKeys are the numbers that follow from a profile.
type profileKeys struct{ profile, account, relay, space int64 }

const (
	maxProfiles = 1 << 18
	maxWords    = 1 << 12
)

func (d *dictionary) clear() {
	*d = dictionary{
		young: map[hash]profileKeys{}, old: map[hash]profileKeys{},
		kinds: map[[3]string]int64{}, tellers: map[[2]string]int64{},
	}
}

func (d *dictionary) profile(h hash) (profileKeys, bool) {
	k, ok := d.young[h]
	if ok {
		return k, true
	}
	if k, ok = d.old[h]; ok {
		d.learn(h, k)
	}
	return k, ok
}

func (d *dictionary) learn(h hash, k profileKeys) {
	if len(d.young) >= maxProfiles/2 {
		d.young, d.old = map[hash]profileKeys{}, d.young
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
	if k.kind, err = word(m, m.known.kinds, [3]string{r.Program, string(r.Result), r.Reason}, "kind (program, result, reason)"); err != nil {
		return keys{}, err
	}
	k.teller, err = word(m, m.known.tellers, [2]string{r.Listener, r.Sidecar}, "teller (listener, sidecar)")
	return k, err
}

func (m *month) profileOf(r *history.Record) (profileKeys, error) {
	h := profileHash(r)
	if k, ok := m.known.profile(h); ok {
		return k, nil
	}
	k, err := m.findProfile(h)
	if isNone(err) {
		k, err = m.addProfile(h, r)
	}
	if err == nil {
		m.known.learn(h, k)
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

// word is the number of words in a table, given with its columns: kind or teller.
func word[K [2]string | [3]string](m *month, known map[K]int64, words K, table string) (id int64, err error) {
	if id, ok := known[words]; ok {
		return id, nil
	}
	var args []any
	switch w := any(words).(type) {
	case [2]string:
		args = []any{w[0], w[1]}
	case [3]string:
		args = []any{w[0], w[1], w[2]}
	}
	insert := "INSERT INTO " + table + " VALUES (?1, ?2" + map[int]string{2: "", 3: ", ?3"}[len(args)] + ") ON CONFLICT DO NOTHING"
	if _, err := m.exec(insert, args...); err != nil {
		return 0, err
	}
	text := "SELECT id FROM kind WHERE program = ? AND result = ? AND reason = ?"
	if len(args) == 2 {
		text = "SELECT id FROM teller WHERE listener = ? AND sidecar = ?"
	}
	if err := m.scanRow([]any{&id}, text, args...); err != nil {
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
