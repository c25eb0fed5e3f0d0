package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tegata-dev/tegata/internal/history"
)

// Expire drops the months of a server's records that were over before a time. See history.Store.
func (s *Store) Expire(ctx context.Context, namespace, server string, before time.Time) (int, error) {
	e := expiry{store: s, key: serverKey{namespace, server}, until: monthOf(before)}
	if err := e.mark(ctx, before); err != nil {
		return 0, fmt.Errorf("note until when records of %s/%s expire: %w", namespace, server, err)
	}
	dropped := 0
	for {
		n, more, err := e.next(ctx)
		dropped += n
		if err != nil {
			return dropped, fmt.Errorf("expire records of %s/%s: %w", namespace, server, err)
		}
		if !more {
			return dropped, e.dropEmpty(ctx)
		}
	}
}

// expiry is the months before one, of a server.
type expiry struct {
	store *Store
	key   serverKey
	id    int32
	until month
	begun month // by this call
}

// mark has Put leave out what would be expired from now on, before any of it is.
func (e *expiry) mark(ctx context.Context, before time.Time) error {
	return e.store.write(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, readServers, []string{e.key.namespace}, []string{e.key.name})
		if err != nil {
			return err
		}
		found, err := scanServers(rows)
		if err != nil {
			return err
		}
		v, ok := found[e.key]
		if !ok {
			if v, err = makeServer(ctx, tx, e.key); err != nil {
				return err
			}
		}
		e.id = v.id
		_, err = tx.Exec(ctx, "UPDATE servers SET expired = $2 WHERE id = $1 AND expired <> $2", v.id, int64(history.At(before)))
		return err
	})
}

// expireBatch is how many of a server's records are deleted while others wait.
const expireBatch = 2000

// next takes away the oldest month of the server's that is over, or some of its records where other servers have some
// in it, too.
func (e *expiry) next(ctx context.Context) (dropped int, more bool, err error) {
	var m month
	err = e.store.write(ctx, func(tx pgx.Tx) error {
		dropped, more = 0, false
		var streams []int32
		var records int64
		err := tx.QueryRow(ctx, `SELECT m.month, array_agg(m.stream), sum(m.records)::bigint FROM stream_months m JOIN streams s ON s.id = m.stream
			WHERE s.server = $1 AND m.month < $2 GROUP BY m.month ORDER BY m.month LIMIT 1`, e.id, int32(e.until)).Scan(&m, &streams, &records)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		more = true
		if err := e.begin(ctx, tx, m); err != nil {
			return err
		}
		var shared bool
		if err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM stream_months WHERE month = $1 AND stream <> ALL($2))", int32(m), streams).Scan(&shared); err != nil {
			return err
		}
		if shared {
			dropped, err = deleteSome(ctx, tx, m, streams)
			return err
		}
		dropped = int(records)
		if err := finishMonth(ctx, tx, m, streams); err != nil {
			return err
		}
		return dropMonth(ctx, tx, m)
	})
	if err != nil {
		return 0, false, err // all of it was taken back
	}
	e.begun = m
	return dropped, more, nil
}

// begin takes away first what is kept beside the records of a month: whatever becomes of them, no more is counted.
func (e *expiry) begin(ctx context.Context, tx pgx.Tx, m month) error {
	if m == e.begun {
		return nil
	}
	if _, err := tx.Exec(ctx, "DELETE FROM usage WHERE server = $1 AND month = $2", e.id, int32(m)); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, "DELETE FROM open_records WHERE server = $1 AND id >= $2 AND id < $3", e.id,
		uuidOf(idAt(m.begin())), uuidOf(idAt((m + 1).begin())))
	return err
}

// deleteSome deletes some of the records of streams.
func deleteSome(ctx context.Context, tx pgx.Tx, m month, streams []int32) (int, error) {
	deleted, err := tx.Exec(ctx, fmt.Sprintf("DELETE FROM %s WHERE ctid = ANY (ARRAY(SELECT ctid FROM %s WHERE stream = ANY($1) LIMIT %d))",
		m.table(), m.table(), expireBatch), streams)
	if err != nil {
		return 0, err
	}
	dropped := int(deleted.RowsAffected())
	if dropped < expireBatch {
		return dropped, finishMonth(ctx, tx, m, streams)
	}
	return dropped, nil
}

// finishMonth has nobody find streams in a month any more. Until then they are counted with what was deleted already,
// which is no more than a page's limits are taken from.
func finishMonth(ctx context.Context, tx pgx.Tx, m month, streams []int32) error {
	if _, err := tx.Exec(ctx, "DELETE FROM stream_months WHERE month = $1 AND stream = ANY($2)", int32(m), streams); err != nil {
		return err
	}
	return startOver(ctx, tx)
}

// dropPatience is for how long a month waits for those who read it. A dump may read for hours, and nobody could write
// meanwhile: then it is dropped another time.
const dropPatience = "2s"

// dropMonth drops a partition. It must hold the lock.
func dropMonth(ctx context.Context, tx pgx.Tx, m month) error {
	for _, statement := range []string{"SET LOCAL lock_timeout = '" + dropPatience + "'", "DROP TABLE IF EXISTS " + m.table()} {
		if _, err := tx.Exec(ctx, statement); err != nil {
			return fmt.Errorf("drop the partition of %s: %w", m.begin().Format("2006-01"), err)
		}
	}
	return nil
}

// dropEmpty drops the partitions of months that no server has records in any more.
func (e *expiry) dropEmpty(ctx context.Context) error {
	return e.store.write(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `SELECT (12 * substr(c.relname, 9, length(c.relname) - 10)::int + right(c.relname, 2)::int - 1) AS month
			FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'records'::regclass AND c.relname ~ '^records_[0-9]{6,7}$'`)
		if err != nil {
			return err
		}
		there, err := pgx.CollectRows(rows, pgx.RowTo[month])
		if err != nil {
			return err
		}
		for _, m := range there {
			var used bool
			if err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM stream_months WHERE month = $1)", int32(m)).Scan(&used); err != nil {
				return err
			}
			if m < e.until && !used {
				if err := dropMonth(ctx, tx, m); err != nil {
					return err
				}
			}
		}
		return nil
	})
}
