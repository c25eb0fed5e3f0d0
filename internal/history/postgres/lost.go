package postgres

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tegata-dev/tegata/internal/history"
)

// CloseLost ends connections of which no end was told. See history.Store.
func (s *Store) CloseLost(ctx context.Context, expired time.Time, limit int) (int, error) {
	closed := 0
	err := s.writing(ctx, func(w *writer) error {
		if _, err := w.tx.Exec(ctx, locking); err != nil {
			return fmt.Errorf("take the write lock: %w", err)
		}
		rows, err := w.tx.Query(ctx, "SELECT id FROM open_records WHERE expire < $1 ORDER BY expire LIMIT $2", int64(history.At(expired)), limit)
		if err != nil {
			return err
		}
		lost, err := pgx.CollectRows(rows, pgx.RowTo[[16]byte])
		if err != nil || len(lost) == 0 {
			return err
		}
		touched, err := w.lose(ctx, lost, history.At(expired))
		closed = len(touched)
		if err != nil {
			return err
		}
		return w.apply(ctx, touched)
	})
	if err != nil {
		return 0, fmt.Errorf("close lost connections: %w", err)
	}
	return closed, nil
}

// lose reads records and gives those that are lost their ends.
func (w *writer) lose(ctx context.Context, ids [][16]byte, expired history.Millis) ([]*touch, error) {
	byMonth := monthIDs{}
	for _, id := range ids {
		m := monthOfID(id)
		byMonth[m] = append(byMonth[m], id)
	}
	var touched []*touch
	for m, some := range byMonth {
		rows, err := w.tx.Query(ctx, fmt.Sprintf("SELECT %s FROM %s r WHERE r.id = ANY($1)", selected, m.table()), some)
		if err != nil {
			return nil, err
		}
		open, err := w.store.collect(ctx, w.tx, rows)
		if err != nil {
			return nil, err
		}
		for i := range open {
			if r := &open[i]; r.Open() && r.Expire < expired {
				lost := r.Record
				lost.End, lost.EndTime = history.Lost, max(lost.Start(), lost.LastSeen)
				touched = append(touched, &touch{old: r, now: row{Record: history.Merge(r.Record, lost)}, server: server{id: r.stream.server, ns: r.stream.ns}})
			}
		}
	}
	slices.SortFunc(touched, func(a, b *touch) int { return a.now.ID.Compare(b.now.ID) })
	return touched, nil
}
