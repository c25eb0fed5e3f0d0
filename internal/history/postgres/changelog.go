package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tegata-dev/tegata/internal/history"
)

// keptChanges is how many of the newest changes are kept at least.
const keptChanges = 10_000

// rowChanges bounds the changes in one row of the table.
const rowChanges = 1000

// changeLog is the changes of a transaction.
type changeLog struct{ changes []storedChange }

// storedChange is a change as it is encoded in the table. Its version is known by its place.
type storedChange struct {
	_ struct{} `cbor:",toarray"`

	Type              history.ChangeType
	Namespace, Server string
	Record            *history.Record
}

func (l *changeLog) empty() bool { return len(l.changes) == 0 }

// add notes what a touch has changed.
func (l *changeLog) add(t *touch) {
	c := storedChange{Type: history.Modified, Namespace: t.now.Namespace, Server: t.now.Server, Record: &t.now.Record}
	if t.old == nil {
		c.Type = history.Added
	}
	l.changes = append(l.changes, c)
}

const (
	newestVersion = "coalesce((SELECT last FROM changes ORDER BY last DESC LIMIT 1), 0)"
	addChanges    = "INSERT INTO changes (first, last, changes) SELECT newest + 1, newest + $1, $2 FROM (SELECT " + newestVersion + " AS newest) AS v"
	pruneChanges  = "DELETE FROM changes WHERE last <= " + newestVersion + " - $1"
	notify        = "SELECT pg_notify('" + channel + "', '')"

	// dropChanges leaves a gap between the versions of before and the newest.
	dropChanges = `WITH gone AS (DELETE FROM changes RETURNING last)
		INSERT INTO changes (first, last, changes) SELECT newest + 2, newest + 2, $1 FROM (SELECT coalesce(max(last), 0) AS newest FROM gone) AS v`
)

// startOver has who follows list anew: records were deleted, and the changes that told of them must not outlive them.
// One by one, they could be millions.
func startOver(ctx context.Context, tx pgx.Tx) error {
	nothing, err := cbor.Marshal([]storedChange{})
	if err != nil {
		return err
	}
	for _, statement := range []string{dropChanges, notify} {
		arguments := []any{nothing}
		if statement == notify {
			arguments = nil
		}
		if _, err := tx.Exec(ctx, statement, arguments...); err != nil {
			return fmt.Errorf("drop the changes: %w", err)
		}
	}
	return nil
}

// encode makes the rows of the table, in which numbers start at zero.
func (l *changeLog) encode() (rows []changeRow, err error) {
	const size = 320 // more than most have
	for some := range slices.Chunk(l.changes, rowChanges) {
		buffer := bytes.NewBuffer(make([]byte, 0, len(some)*size))
		if err := cbor.MarshalToBuffer(some, buffer); err != nil {
			return nil, fmt.Errorf("encode changes: %w", err)
		}
		rows = append(rows, changeRow{last: int64(len(some)), changes: buffer.Bytes()})
	}
	return rows, nil
}

// queueChanges adds the statements to a batch. Their transaction must hold the lock: then versions have no gaps, and
// become visible in their order.
func queueChanges(batch *pgx.Batch, rows []changeRow) {
	for _, r := range rows {
		batch.Queue(addChanges, r.last, r.changes)
	}
	batch.Queue(pruneChanges, int64(keptChanges))
	batch.Queue(notify)
}

// Version is that of the newest change. See history.Store.
func (s *Store) Version(ctx context.Context) (uint64, error) {
	var newest uint64
	err := s.quick.with(ctx, func(conn *pgxpool.Conn) (err error) {
		newest, err = versionOf(ctx, conn)
		return err
	})
	return newest, err
}

func versionOf(ctx context.Context, conn *pgxpool.Conn) (uint64, error) {
	var newest int64
	if err := conn.QueryRow(ctx, "SELECT "+newestVersion).Scan(&newest); err != nil {
		return 0, fmt.Errorf("read the version: %w", err)
	}
	return uint64(newest), nil //nolint:gosec // it counts up from 0
}

// poll is how often is asked for changes while nothing tells of them, and while something should.
const (
	poll     = time.Second
	lazyPoll = 30 * time.Second
)

// Changes are those after a version. See history.Store. A version that is newer than all is from a database that was
// replaced by an older copy: it is too old in the sense that matters.
func (s *Store) Changes(ctx context.Context, after uint64, limit int) ([]history.Change, error) {
	for {
		woken, listening := s.listener.wake()
		changes, err := s.changesAfter(ctx, after, max(limit, 1))
		if err != nil || len(changes) > 0 {
			return changes, err
		}
		wait := poll
		if listening {
			wait = lazyPoll
		}
		timer := time.NewTimer(wait)
		select {
		case <-woken:
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, ctx.Err()
		}
		timer.Stop()
	}
}

func (s *Store) changesAfter(ctx context.Context, after uint64, limit int) ([]history.Change, error) {
	var found []history.Change
	for first := true; len(found) < limit; first = false {
		var rows []changeRow
		err := s.quick.with(ctx, func(conn *pgxpool.Conn) (err error) {
			rows, err = changeRows(ctx, conn, after, first)
			return err
		})
		if err != nil {
			return nil, err
		}
		if len(rows) == 0 {
			break
		}
		for _, r := range rows {
			if found, err = r.appendAfter(found, after, limit); err != nil {
				return nil, err
			}
			after = uint64(r.last) //nolint:gosec // it counts up from 0
		}
	}
	return found, nil
}

// changeRow is a row of the table.
type changeRow struct {
	first, last int64
	changes     []byte
}

// changeRows are some rows with changes after a version. It asks whether the version is one whose changes are kept
// when check says so.
func changeRows(ctx context.Context, conn *pgxpool.Conn, after uint64, check bool) ([]changeRow, error) {
	rows, err := conn.Query(ctx, `SELECT first, last, changes FROM changes WHERE last > $1 ORDER BY last LIMIT 4`, int64(min(after, 1<<62))) //nolint:gosec // bounded
	if err != nil {
		return nil, fmt.Errorf("read changes: %w", err)
	}
	found, err := pgx.CollectRows(rows, func(from pgx.CollectableRow) (changeRow, error) {
		var r changeRow
		return r, from.Scan(&r.first, &r.last, &r.changes)
	})
	if err != nil || !check {
		return found, errors.Join(err)
	}
	if len(found) > 0 && uint64(found[0].first) > after+1 { //nolint:gosec // it counts up from 0
		return nil, history.ErrTooOld
	}
	if len(found) == 0 {
		if newest, err := versionOf(ctx, conn); err != nil || newest < after {
			return nil, errors.Join(err, history.ErrTooOld)
		}
	}
	return found, nil
}

// appendAfter adds the row's changes after a version.
func (r *changeRow) appendAfter(found []history.Change, after uint64, limit int) ([]history.Change, error) {
	var stored []storedChange
	if err := cbor.Unmarshal(r.changes, &stored); err != nil {
		return nil, fmt.Errorf("decode changes: %w", err)
	}
	for i := range stored {
		version := uint64(r.first) + uint64(i) //nolint:gosec // they count up from 0
		if version > after && len(found) < limit {
			found = append(found, stored[i].change(version))
		}
	}
	return found, nil
}

func (c *storedChange) change(version uint64) history.Change {
	r := *c.Record
	r.Namespace, r.Server = c.Namespace, c.Server
	return history.Change{Version: version, Type: c.Type, Record: r}
}
