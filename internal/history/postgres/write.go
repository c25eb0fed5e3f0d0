package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// writer is a transaction that changes records, and with them all that is kept of them.
type writer struct {
	store *Store
	tx    pgx.Tx
	made  []*stream // in this transaction: for the registry, when it is committed
}

// writing runs a transaction. What it does must begin with taking the lock.
func (s *Store) writing(ctx context.Context, do func(*writer) error) error {
	return s.writes.with(ctx, func(conn *pgxpool.Conn) error {
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error { return do(&writer{store: s, tx: tx}) })
	})
}

// stream is the stream of a record, which is added when the record is the first of it.
func (w *writer) stream(ctx context.Context, t *touch) (*stream, error) {
	k := kind{t.server.id, t.now.Program, t.now.Result, t.now.Reason}
	if found := w.store.registry.find(k); found != nil {
		return found, nil
	}
	of := serverKey{t.now.Namespace, t.now.Server}
	count := w.store.registry.count(t.server.id)
	for _, made := range w.made {
		if made.kind == k {
			return made, nil
		}
		if made.server == k.server {
			count++
		}
	}
	if count >= maxStreams {
		return nil, fmt.Errorf("server %s/%s: %w", of.namespace, of.name, errTooManyKinds)
	}
	made, err := makeStream(ctx, w.tx, of, t.server, k)
	if err != nil {
		return nil, err
	}
	w.made = append(w.made, made)
	return made, nil
}

// apply writes what has changed, with totals and changes, in the order that the touches have.
func (w *writer) apply(ctx context.Context, touched []*touch) error {
	sum, log := newTally(), &changeLog{changes: make([]storedChange, 0, len(touched))}
	fresh := map[month]*copied{}
	batch := &pgx.Batch{}
	for _, t := range touched {
		if t.old != nil && t.old.Record == t.now.Record {
			continue
		}
		of, err := w.stream(ctx, t)
		if err != nil {
			return err
		}
		t.now.stream = of
		now := &t.now
		if t.old == nil {
			m := now.month()
			if fresh[m] == nil {
				fresh[m] = newCopied(len(touched) / (1 + len(fresh)))
			}
			fresh[m].add(now)
		} else {
			batch.Queue(updateOf(now.month()), now.values()...)
		}
		sum.change(t.old, now)
		log.add(t)
	}
	if log.empty() {
		return nil
	}
	changes, err := w.insert(ctx, fresh, log)
	if err != nil {
		return err
	}
	sum.queue(batch)
	queueChanges(batch, changes)
	if err := w.tx.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("write records: %w", err)
	}
	return sum.repair(ctx, w.tx, w.store)
}

// insert inserts records. While the database does, it encodes the changes.
func (w *writer) insert(ctx context.Context, fresh map[month]*copied, log *changeLog) ([]changeRow, error) {
	var (
		encoding  sync.WaitGroup
		changes   []changeRow
		malformed error
	)
	encoding.Go(func() { changes, malformed = log.encode() })
	err := w.copy(ctx, fresh)
	encoding.Wait()
	return changes, errors.Join(err, malformed)
}

func (w *writer) copy(ctx context.Context, fresh map[month]*copied) error {
	for m, rows := range fresh {
		if _, err := w.tx.Conn().PgConn().CopyFrom(ctx, rows.reader(), copyInto(m)); err != nil {
			return fmt.Errorf("insert records: %w", err)
		}
	}
	return nil
}

// updateOf sets all columns of a row that is found by the first two.
func updateOf(m month) string {
	var set strings.Builder
	for i, column := range columns[2:] {
		if i > 0 {
			set.WriteString(", ")
		}
		fmt.Fprintf(&set, "%s = $%d", column, i+3)
	}
	return fmt.Sprintf("UPDATE %s SET %s WHERE id = $1 AND ns = $2", m.table(), set.String())
}
