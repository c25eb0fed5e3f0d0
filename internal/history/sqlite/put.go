package sqlite

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/tegata-dev/tegata/internal/history"
)

// monthsAtOnce is how many months of one Put are written together.
const monthsAtOnce = 8

// batch is what is written into a month in one transaction.
type batch struct {
	month   *month
	begun   bool
	grown   deltas
	shrunk  map[int64]bool
	changes []history.Change
}

func newBatch(m *month) *batch {
	return &batch{month: m, grown: deltas{}, shrunk: map[int64]bool{}}
}

// Put keeps records. Those of one month are kept all or not at all. So are those of several, unless the process or
// the disk fails between two commits: then some are kept, and Put has not returned. Who tells them again gets what
// telling them once would have come to.
func (s *Store) Put(ctx context.Context, records []history.Record) (history.Stored, error) {
	stored, err := s.line.Put(ctx, records)
	if err != nil {
		return history.Stored{}, fmt.Errorf("keep %d records: %w", len(records), err)
	}
	return stored, nil
}

// telling is a record of a Put, and where it is counted what comes of it.
type telling struct {
	*history.Record
	stored *history.Stored
}

// put keeps the records of several Puts, as if one came after the other.
func (s *Store) put(ctx context.Context, puts [][]history.Record) ([]history.Stored, error) {
	if err := s.startWriting(ctx); err != nil {
		return nil, err
	}
	defer s.stopWriting()
	stored := make([]history.Stored, len(puts))
	months := map[monthKey][]telling{}
	for n, records := range puts {
		for i := range records {
			if r := &records[i]; s.meta.leftOut(r) {
				stored[n].Dropped++
			} else {
				key := monthOf(r.ID)
				months[key] = append(months[key], telling{r, &stored[n]})
			}
		}
	}
	for some := range slices.Chunk(slices.Sorted(maps.Keys(months)), monthsAtOnce) {
		if err := s.putMonths(ctx, some, months); err != nil {
			return nil, err
		}
	}
	return stored, nil
}

// putMonths writes everything before it commits anything: what can fail has failed by then, but for the disk.
func (s *Store) putMonths(ctx context.Context, some []monthKey, of map[monthKey][]telling) (err error) {
	var batches []*batch
	defer func() {
		for _, b := range batches {
			err = errors.Join(err, s.wrote(b.month), s.release(b.month))
		}
	}()
	for _, key := range some {
		m, err := s.acquire(ctx, key, true)
		if err != nil {
			return errors.Join(err, rollback(batches))
		}
		b := newBatch(m)
		batches = append(batches, b)
		if err := b.putAll(ctx, of[key]); err != nil {
			return errors.Join(fmt.Errorf("the month %s: %w", key, err), rollback(batches))
		}
	}
	for i, b := range batches {
		if err := s.commit(b); err != nil {
			return errors.Join(err, rollback(batches[i+1:]))
		}
	}
	return nil
}

// commit ends a batch's transaction, and tells of its changes.
func (s *Store) commit(b *batch) error {
	if err := b.month.commit(b.grown, b.shrunk); err != nil {
		return errors.Join(fmt.Errorf("the month %s: %w", b.month.key, err), b.month.rollback())
	}
	if len(b.changes) > 0 {
		s.mu.Lock()
		delete(s.settled, b.month.key)
		s.mu.Unlock()
	}
	s.feed.add(b.changes)
	if info, err := os.Stat(b.month.path + "-wal"); err == nil && info.Size() > s.maxLog {
		_ = b.month.emptyLog() // the batch is on disk; it is tried again after the next one
	}
	return nil
}

func rollback(batches []*batch) error {
	var errs []error
	for _, b := range batches {
		if b.begun {
			errs = append(errs, b.month.rollback())
		}
	}
	return errors.Join(errs...)
}

func (b *batch) putAll(ctx context.Context, records []telling) error {
	if err := b.month.startWriting(ctx); err != nil {
		return err
	}
	b.begun = true
	b.changes = make([]history.Change, 0, len(records))
	for _, r := range records {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := b.put(r); err != nil {
			return err
		}
	}
	return nil
}

// put tries to insert, for most records are new.
func (b *batch) put(r telling) error {
	k, err := b.month.keysOf(r.Record)
	if err != nil {
		return err
	}
	args, err := arguments(r.Record, k)
	if err != nil {
		return err
	}
	result, err := b.month.exec(insertRecord, args...)
	if err != nil {
		return err
	}
	inserted, err := result.RowsAffected()
	if err != nil {
		return err
	}
	if inserted == 0 {
		return b.merge(r, k.space)
	}
	r.stored.New++
	b.grown[k.account] = b.grown[k.account].plus(deltaOf(r.Record))
	b.changes = append(b.changes, history.Change{Type: history.Added, Record: *r.Record})
	return nil
}

func (b *batch) merge(r telling, space int64) error {
	old, err := b.month.one(r.ID, space)
	if err != nil {
		return err
	}
	if old.Server != r.Server || history.Contradict(&old.Record, r.Record) {
		r.stored.Dropped++
		return nil
	}
	merged := history.Merge(old.Record, *r.Record)
	if merged == old.Record {
		r.stored.Same++
		return nil
	}
	r.stored.Changed++
	return b.replace(&old, &merged)
}

// one is the record of an ID, read by who writes.
func (m *month) one(id history.ID, space int64) (kept, error) {
	row, err := m.row(selectOne, id[:], space)
	if err != nil {
		return kept{}, err
	}
	return scan(row)
}

// replace writes a record that has changed, and moves it to another user where it has turned out to be theirs.
func (b *batch) replace(old *kept, r *history.Record) error {
	k, err := b.month.keysOf(r)
	if err != nil {
		return err
	}
	args, err := arguments(r, k)
	if err != nil {
		return err
	}
	if _, err := b.month.exec(updateRecord, args...); err != nil {
		return err
	}
	if old.account == k.account {
		b.grown[k.account] = b.grown[k.account].minus(deltaOf(&old.Record)).plus(deltaOf(r))
	} else {
		b.shrink(old)
		b.grown[k.account] = b.grown[k.account].plus(deltaOf(r))
	}
	b.changes = append(b.changes, history.Change{Type: history.Modified, Record: *r})
	return nil
}

func (b *batch) shrink(old *kept) {
	b.grown[old.account] = b.grown[old.account].minus(deltaOf(&old.Record))
	b.shrunk[old.account] = true
}

// remove erases a record.
func (b *batch) remove(old *kept) error {
	if _, err := b.month.exec("DELETE FROM record WHERE id = ? AND space = ?", old.ID[:], old.space); err != nil {
		return err
	}
	b.shrink(old)
	b.changes = append(b.changes, history.Change{Type: history.Deleted, Record: old.Record})
	return nil
}
