package sqlite

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tegata-dev/tegata/internal/history"
)

// CloseLost ends connections of which no end was told. A month without any that lasts is not looked at again until
// something changes in it.
func (s *Store) CloseLost(ctx context.Context, expired time.Time, limit int) (int, error) {
	n := 0
	for _, key := range s.allMonths() {
		s.mu.Lock()
		settled := s.settled[key]
		s.mu.Unlock()
		if settled {
			continue
		}
		if n >= limit {
			break
		}
		err := s.writing(ctx, key, func(b *batch) error {
			closed, err := b.closeLost(ceilMillis(expired), limit-n)
			n += closed
			return err
		}, func(b *batch) error { return s.noteSettled(b.month) })
		if err != nil {
			return 0, fmt.Errorf("close lost connections: %w", err)
		}
	}
	return n, nil
}

// writing runs f in a transaction of its own, in a month that there is, and then after, with still nobody else writing.
func (s *Store) writing(ctx context.Context, key monthKey, f, after func(*batch) error) error {
	if err := s.startWriting(ctx); err != nil {
		return err
	}
	defer s.stopWriting()
	return s.with(ctx, key, func(m *month) error {
		if err := errors.Join(m.startWriting(ctx), s.wrote(m)); err != nil {
			return err
		}
		b := newBatch(m)
		if err := f(b); err != nil {
			return errors.Join(err, m.rollback())
		}
		if err := s.commit(b); err != nil || after == nil {
			return err
		}
		return after(b)
	})
}

func (b *batch) closeLost(expired int64, limit int) (int, error) {
	lost, err := b.month.all(selectOpen, expired, limit)
	if err != nil {
		return 0, err
	}
	for i := range lost {
		r := lost[i].Record
		r.End, r.EndTime = history.Lost, max(r.Start(), r.LastSeen)
		if err := b.replace(&lost[i], &r); err != nil {
			return 0, err
		}
	}
	return len(lost), nil
}

func (s *Store) noteSettled(m *month) error {
	var open bool
	if err := m.scanRow([]any{&open}, "SELECT EXISTS (SELECT 1 FROM record INDEXED BY by_open WHERE open_until IS NOT NULL)"); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settled[m.key] = !open
	return nil
}

// all are the records that a statement finds.
func (m *month) all(text string, args ...any) ([]kept, error) {
	rows, err := m.rows(text, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // Err tells
	var all []kept
	for rows.Next() {
		r, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, rows.Err()
}
