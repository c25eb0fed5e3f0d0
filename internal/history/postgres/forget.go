package postgres

import (
	"context"
	"crypto/sha256"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tegata-dev/tegata/internal/history"
)

// nameHash stands for a name that was forgotten.
type nameHash [sha256.Size]byte

// The two names that a person has.
const (
	relayUser = "user"
	typedName = "userName"
)

func hashName(namespace, which, name string) nameHash {
	return sha256.Sum256([]byte(namespace + "\x00" + which + "\x00" + name))
}

// tombstones are the names that were forgotten, as far as this store has read them. They are never taken back.
type tombstones struct {
	mu     sync.RWMutex
	seq    int64
	before map[nameHash]history.Millis
}

const readForgotten = "SELECT seq, hash, before FROM forgotten WHERE seq > $1"

func (n *tombstones) known() int64 {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.seq
}

// take takes in rows of readForgotten.
func (n *tombstones) take(rows pgx.Rows) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	var seq int64
	var hash []byte
	var before history.Millis
	_, err := pgx.ForEachRow(rows, []any{&seq, &hash, &before}, func() error {
		if n.before == nil {
			n.before = map[nameHash]history.Millis{}
		}
		n.before[nameHash(hash)] = before
		n.seq = max(n.seq, seq)
		return nil
	})
	if err != nil {
		return fmt.Errorf("read who is forgotten: %w", err)
	}
	return nil
}

// covers says whether a record began before its person was forgotten.
func (n *tombstones) covers(r *history.Record) bool {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if len(n.before) == 0 {
		return false
	}
	return r.User != "" && r.Start() < n.before[hashName(r.Namespace, relayUser, r.User)] ||
		r.UserName != "" && r.Start() < n.before[hashName(r.Namespace, typedName, r.UserName)]
}

// Forget erases what is kept of a person. See history.Store. It does so in several transactions, so that others can
// write meanwhile; told again after an error, it goes on where it was.
func (s *Store) Forget(ctx context.Context, who history.Person, now time.Time) (int, error) {
	if err := s.bury(ctx, who, now); err != nil {
		return 0, fmt.Errorf("note whom to forget: %w", err)
	}
	var months []month
	err := s.reads.with(ctx, func(conn *pgxpool.Conn) (err error) {
		if err = s.refresh(ctx, conn); err == nil {
			months, err = s.allMonths(ctx, conn, who.Namespace)
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	erased := 0
	for _, m := range months {
		n, err := s.forgetMonth(ctx, m, who)
		erased += n
		if err != nil {
			return erased, fmt.Errorf("forget a user's records of %s: %w", m.begin().Format("2006-01"), err)
		}
	}
	return erased, nil
}

// bury has a person's records left out from now on, and forgets what was told of them to who follows: also of a record
// that is somebody else's by now.
func (s *Store) bury(ctx context.Context, who history.Person, now time.Time) error {
	return s.write(ctx, func(tx pgx.Tx) error {
		for which, name := range map[string]string{relayUser: who.User, typedName: who.UserName} {
			if name == "" {
				continue
			}
			hash := hashName(who.Namespace, which, name)
			_, err := tx.Exec(ctx, `INSERT INTO forgotten AS f (hash, before) VALUES ($1, $2) ON CONFLICT (hash) DO UPDATE
				SET before = greatest(f.before, excluded.before), seq = DEFAULT`, hash[:], int64(history.At(now)))
			if err != nil {
				return err
			}
		}
		return startOver(ctx, tx)
	})
}

// allMonths are the months in which a namespace has records.
func (s *Store) allMonths(ctx context.Context, conn *pgxpool.Conn, namespace string) ([]month, error) {
	rows, err := conn.Query(ctx, "SELECT DISTINCT month FROM stream_months WHERE stream = ANY($1) ORDER BY month",
		idsOf(s.registry.matching(&history.Filter{Namespace: namespace})))
	if err != nil {
		return nil, fmt.Errorf("read months: %w", err)
	}
	months, err := pgx.CollectRows(rows, pgx.RowTo[month])
	if err != nil {
		return nil, fmt.Errorf("read months: %w", err)
	}
	return months, nil
}

// deleteBatch is how many records are deleted while others wait.
const deleteBatch = 1000

// forgetTimeout is for how long the records of a month are looked through. There is no index of names as typed.
const forgetTimeout = "10min"

// forgetMonth erases a person's records of a month.
func (s *Store) forgetMonth(ctx context.Context, m month, who history.Person) (int, error) {
	var ids [][16]byte
	err := s.reads.with(ctx, func(conn *pgxpool.Conn) (err error) {
		ids, err = s.idsOfPerson(ctx, conn, m, who)
		return err
	})
	if isMonthMissing(err) {
		return 0, nil
	}
	erased := 0
	for len(ids) > 0 && err == nil {
		some := ids[:min(deleteBatch, len(ids))]
		ids = ids[len(some):]
		var n int
		n, err = s.erase(ctx, m, some, who)
		erased += n
	}
	return erased, err
}

// idsOfPerson reads without the lock: none can come in any more, because the tombstone is there.
func (s *Store) idsOfPerson(ctx context.Context, conn *pgxpool.Conn, m month, who history.Person) (ids [][16]byte, err error) {
	streams := idsOf(s.registry.matching(&history.Filter{Namespace: who.Namespace}))
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		for _, statement := range []string{"SET LOCAL statement_timeout = '" + forgetTimeout + "'", "SET LOCAL enable_seqscan = on"} {
			if _, err := tx.Exec(ctx, statement); err != nil {
				return err
			}
		}
		byUser, err := tx.Query(ctx, fmt.Sprintf(`SELECT r.id FROM unnest($1::int[]) AS s(id) CROSS JOIN LATERAL (
			SELECT r.id FROM %s r WHERE r.relay_user = $2 AND r.relay_user <> '' AND r.stream = s.id) r`, m.table()), streams, who.User)
		if err == nil {
			ids, err = pgx.CollectRows(byUser, pgx.RowTo[[16]byte])
		}
		if err != nil || who.UserName == "" {
			return err
		}
		byName, err := tx.Query(ctx, fmt.Sprintf("SELECT r.id FROM %s r WHERE r.user_name = $1", m.table()), who.UserName)
		if err != nil {
			return err
		}
		named, err := pgx.CollectRows(byName, pgx.RowTo[[16]byte])
		ids = append(ids, named...)
		return err
	})
	return ids, err
}

// erase deletes those of the records with ids that are a person's, and all that is kept beside them.
func (s *Store) erase(ctx context.Context, m month, ids [][16]byte, who history.Person) (int, error) {
	erased := 0
	err := s.write(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, fmt.Sprintf(`DELETE FROM %s r USING unnest($1::uuid[]) AS gone(id) WHERE r.id = gone.id
			AND r.ns = (SELECT id FROM namespaces WHERE name = $2)
			AND (r.relay_user = $3 AND $3 <> '' OR r.user_name = $4 AND $4 <> '') RETURNING %s`, m.table(), selected), ids, who.Namespace, who.User, who.UserName)
		if err != nil {
			return err
		}
		gone, err := s.collect(ctx, tx, rows)
		if err != nil {
			return err
		}
		erased = len(gone)
		return s.settle(ctx, tx, gone)
	})
	return erased, err
}

// settle takes records that were deleted out of what is kept beside them.
func (s *Store) settle(ctx context.Context, tx pgx.Tx, gone []row) error {
	if len(gone) == 0 {
		return nil
	}
	sum, batch := newTally(), &pgx.Batch{}
	for i := range gone {
		sum.change(&gone[i], nil)
	}
	sum.queue(batch)
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("settle deleted records: %w", err)
	}
	if err := sum.repair(ctx, tx, s); err != nil {
		return err
	}
	return startOver(ctx, tx)
}
