package sqlite

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"sync"

	"github.com/tegata-dev/tegata/internal/history"
)

// foldAt is how many deltas are pending before they are added to the usage.
const foldAt = 64 << 10

// delta is what an account's usage is more.
type delta struct {
	connected          int64
	attempts, failures int64
	// first and last are the starts of the attempts that it counts. They are right for what was added only: where
	// something was taken away, they are looked up.
	first, last int64
}

func deltaOf(r *history.Record) delta {
	d := delta{connected: r.Connected().Milliseconds(), attempts: 1, first: int64(r.Start()), last: int64(r.Start())}
	if r.Result == history.Failure {
		d.failures = 1
	}
	return d
}

func (d delta) plus(o delta) delta {
	if d == (delta{}) {
		return o
	}
	d.connected += o.connected
	d.attempts += o.attempts
	d.failures += o.failures
	d.first, d.last = min(d.first, o.first), max(d.last, o.last)
	return d
}

func (d delta) minus(o delta) delta {
	if d == (delta{}) {
		d.first, d.last = o.first, o.last
	}
	d.connected -= o.connected
	d.attempts -= o.attempts
	d.failures -= o.failures
	return d
}

// deltas are those of accounts.
type deltas map[int64]delta

func (ds deltas) encode() []byte {
	var b []byte
	for _, account := range slices.Sorted(maps.Keys(ds)) {
		d := ds[account]
		for _, v := range [...]int64{account, d.connected, d.attempts, d.failures, d.first, d.last - d.first} {
			b = binary.AppendVarint(b, v)
		}
	}
	return b
}

var errPending = errors.New("what is pending of the usage is damaged")

// add adds what encode made.
func (ds deltas) add(b []byte) error {
	for len(b) > 0 {
		var v [6]int64
		for i := range v {
			value, n := binary.Varint(b)
			if n <= 0 {
				return errPending
			}
			v[i], b = value, b[n:]
		}
		ds[v[0]] = ds[v[0]].plus(delta{connected: v[1], attempts: v[2], failures: v[3], first: v[4], last: v[4] + v[5]})
	}
	return nil
}

// folding is what is pending of a month's usage.
type folding struct {
	mu      sync.Mutex
	number  int64
	pending deltas
}

func newFolding() *folding { return &folding{pending: deltas{}} }

func (f *folding) load(ctx context.Context, db *sql.DB) error {
	if err := db.QueryRowContext(ctx, "SELECT number FROM fold").Scan(&f.number); err != nil {
		return err
	}
	return each(ctx, db, "SELECT deltas FROM pending", func(rows *sql.Rows) error {
		var b sql.RawBytes
		if err := rows.Scan(&b); err != nil {
			return err
		}
		return f.pending.add(b)
	})
}

// commit ends a transaction that has changed records. Usually it notes by how much usage has grown, which is one
// row; sometimes, or where something was taken away from it, it adds all that is pending.
func (m *month) commit(grown deltas, shrunk map[int64]bool) error {
	if len(shrunk) == 0 && len(m.fold.pending)+len(grown) < foldAt {
		if len(grown) > 0 {
			if _, err := m.exec("INSERT INTO pending (deltas) VALUES (?)", grown.encode()); err != nil {
				return err
			}
		}
		if _, err := m.exec("COMMIT"); err != nil {
			return err
		}
		m.fold.mu.Lock()
		defer m.fold.mu.Unlock()
		for account, d := range grown {
			m.fold.pending[account] = m.fold.pending[account].plus(d)
		}
		return nil
	}
	return m.commitFolded(grown, shrunk)
}

func (m *month) commitFolded(grown deltas, shrunk map[int64]bool) error {
	all := maps.Clone(m.fold.pending)
	for account, d := range grown {
		all[account] = all[account].plus(d)
	}
	for _, account := range slices.Sorted(maps.Keys(all)) {
		d := all[account]
		if _, err := m.exec(`INSERT INTO usage VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO UPDATE SET
  connected = connected + ?2, attempts = attempts + ?3, failures = failures + ?4, first = min(first, ?5), last = max(last, ?6)`,
			account, d.connected, d.attempts, d.failures, d.first, d.last); err != nil {
			return err
		}
	}
	for account := range shrunk {
		if err := m.recheck(account); err != nil {
			return err
		}
	}
	for _, text := range []string{"DELETE FROM pending", "UPDATE fold SET number = number + 1"} {
		if _, err := m.exec(text); err != nil {
			return err
		}
	}
	// who reads the file's number thereafter finds the same here
	m.fold.mu.Lock()
	defer m.fold.mu.Unlock()
	if _, err := m.exec("COMMIT"); err != nil {
		return err
	}
	m.fold.number++
	m.fold.pending = deltas{}
	return nil
}

// recheck looks up when an account's first and last attempts were, or removes the usage of one without any.
func (m *month) recheck(account int64) error {
	if _, err := m.exec("DELETE FROM usage WHERE account = ? AND attempts = 0", account); err != nil {
		return err
	}
	first, last, err := m.ends(account)
	if err != nil || first == 0 {
		return err
	}
	_, err = m.exec("UPDATE usage SET first = ?2, last = ?3 WHERE account = ?1", account, first, last)
	return err
}

// ends are the starts of an account's first and last attempts: a look at either end of its records of each kind.
func (m *month) ends(account int64) (first, last int64, err error) {
	rows, err := m.rows(`SELECT
  (SELECT id FROM record INDEXED BY by_account WHERE account = ?1 AND kind = k.id ORDER BY id LIMIT 1),
  (SELECT id FROM record INDEXED BY by_account WHERE account = ?1 AND kind = k.id ORDER BY id DESC LIMIT 1) FROM kind k`, account)
	if err != nil {
		return 0, 0, err
	}
	defer rows.Close() //nolint:errcheck // Err tells
	for rows.Next() {
		var oldest, newest []byte
		if err := rows.Scan(&oldest, &newest); err != nil {
			return 0, 0, err
		}
		if len(oldest) != len(history.ID{}) || len(newest) != len(history.ID{}) {
			continue // none of this kind
		}
		f, l := int64(history.ID(oldest).Time()), int64(history.ID(newest).Time()) //nolint:gosec // 48 bits
		if first == 0 || f < first {
			first = f
		}
		last = max(last, l)
	}
	return first, last, rows.Err()
}
