package sqlite

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"errors"
	"sync"
	"time"

	"github.com/tegata-dev/tegata/internal/history"
)

// versions is how many versions are reserved at a time: more than one process can give.
const versions = 1 << 36

// meta is the file of what outlives months, all of which is in memory, too.
type meta struct {
	db *sql.DB

	mu        sync.Mutex
	forgotten map[[sha256.Size]byte]int64
	expired   map[relayName]int64
}

type relayName struct{ namespace, server string }

func openMeta(ctx context.Context, path string) (*meta, error) {
	db, err := openFile(ctx, path, metaSchema)
	if err != nil {
		return nil, err
	}
	m := &meta{db: db, forgotten: map[[sha256.Size]byte]int64{}, expired: map[relayName]int64{}}
	if err := m.load(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return m, nil
}

func (m *meta) load(ctx context.Context) error {
	err := each(ctx, m.db, "SELECT person, before FROM forgotten", func(rows *sql.Rows) error {
		var (
			person []byte
			before int64
		)
		if err := rows.Scan(&person, &before); err != nil {
			return err
		}
		if len(person) != sha256.Size {
			return errors.New("who was forgotten is damaged")
		}
		m.forgotten[[sha256.Size]byte(person)] = before
		return nil
	})
	return errors.Join(err, each(ctx, m.db, "SELECT namespace, server, before FROM expired", func(rows *sql.Rows) error {
		var (
			name   relayName
			before int64
		)
		err := rows.Scan(&name.namespace, &name.server, &before)
		m.expired[name] = before
		return err
	}))
}

// each calls f with each row of a query.
func each(ctx context.Context, db *sql.DB, query string, f func(*sql.Rows) error) error {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close() //nolint:errcheck // Err tells
	for rows.Next() {
		if err := f(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// reserveVersions is a version that no change has had, even if the clock was set back since.
func (m *meta) reserveVersions(ctx context.Context, now uint64) (uint64, error) {
	var below int64
	if err := m.db.QueryRowContext(ctx, "SELECT below FROM version").Scan(&below); err != nil {
		return 0, err
	}
	first := max(now, uint64(below))                                                       //nolint:gosec // never negative
	_, err := m.db.ExecContext(ctx, "UPDATE version SET below = ?", int64(first+versions)) //nolint:gosec // far from its end
	return first, err
}

// The two ways in which a record is somebody's.
const (
	byUser     = "user"
	byUserName = "userName"
)

func personHash(by, namespace, name string) [sha256.Size]byte {
	b := binary.AppendUvarint([]byte(by+":"), uint64(len(namespace)))
	return sha256.Sum256(append(append(b, namespace...), name...))
}

// forget notes that records of a person that began before now are left out.
func (m *meta) forget(ctx context.Context, who history.Person, now time.Time) error {
	for by, name := range map[string]string{byUser: who.User, byUserName: who.UserName} {
		if name == "" {
			continue
		}
		person, before := personHash(by, who.Namespace, name), ceilMillis(now)
		_, err := m.db.ExecContext(ctx, "INSERT INTO forgotten VALUES (?1, ?2) ON CONFLICT DO UPDATE SET before = max(before, ?2)", person[:], before)
		if err != nil {
			return err
		}
		m.mu.Lock()
		m.forgotten[person] = max(m.forgotten[person], before)
		m.mu.Unlock()
	}
	return nil
}

// expire notes that records of a server that began before a time are left out.
func (m *meta) expire(ctx context.Context, name relayName, at time.Time) error {
	before := ceilMillis(at)
	m.mu.Lock()
	same := m.expired[name] == before
	m.mu.Unlock()
	if same {
		return nil
	}
	_, err := m.db.ExecContext(ctx, "INSERT INTO expired VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET before = ?3", name.namespace, name.server, before)
	if err != nil {
		return err
	}
	m.mu.Lock()
	m.expired[name] = before
	m.mu.Unlock()
	return nil
}

// leftOut says whether a record is not to be kept.
func (m *meta) leftOut(r *history.Record) bool {
	start := int64(r.Start())
	m.mu.Lock()
	defer m.mu.Unlock()
	if start < m.expired[relayName{r.Namespace, r.Server}] {
		return true
	}
	if len(m.forgotten) == 0 {
		return false
	}
	return r.User != "" && start < m.forgotten[personHash(byUser, r.Namespace, r.User)] ||
		r.UserName != "" && start < m.forgotten[personHash(byUserName, r.Namespace, r.UserName)]
}

func (m *meta) ping(ctx context.Context) error {
	var below int64
	return m.db.QueryRowContext(ctx, "SELECT below FROM version").Scan(&below)
}

func (m *meta) close() error { return m.db.Close() }

// ceilMillis is the first whole millisecond that is not before a time. No time before 1970 differs from that.
func ceilMillis(t time.Time) int64 {
	ms := t.UnixMilli()
	if t.Nanosecond()%int(time.Millisecond) != 0 {
		ms++
	}
	return max(ms, 0)
}
