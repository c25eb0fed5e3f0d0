package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/oklog/ulid/v2"

	"github.com/tegata-dev/tegata/internal/history"
)

// month is a month in UTC, counted from the year 0.
type month int32

func monthOf(t time.Time) month {
	t = t.UTC()
	return month(12*t.Year() + int(t.Month()) - 1) //nolint:gosec // a ULID's year has five digits
}

func monthOfID(id history.ID) month { return monthOf(ulid.Time(id.Time())) }

// begin is the first moment of a month.
func (m month) begin() time.Time {
	return time.Date(int(m)/12, time.Month(int(m)%12+1), 1, 0, 0, 0, 0, time.UTC)
}

// table is the partition with a month's records. Statements name it rather than its parent: they are then planned
// without a look at the other months, and lock none of them.
func (m month) table() string { return fmt.Sprintf("records_%04d%02d", int(m)/12, int(m)%12+1) }

// idAt is the smallest id of a time, rounded up to the next millisecond.
func idAt(t time.Time) history.ID {
	var id history.ID
	ms := t.Add(time.Millisecond - 1).UnixMilli()
	_ = id.SetTime(uint64(min(max(ms, 0), int64(ulid.MaxTime())))) //nolint:gosec // not negative
	return id
}

func uuidOf(id history.ID) [16]byte { return id }

// makeMonth makes the partition of a month, unless there is one. It must hold the lock: two would make it at once.
// Attaching lets others read and write the other months meanwhile, which making it in place does not.
func makeMonth(ctx context.Context, tx pgx.Tx, m month) error {
	// Not by to_regclass: that may remember of before the lock that there was none.
	const there = "SELECT EXISTS (SELECT FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'records'::regclass AND c.relname = $1)"
	var made bool
	if err := tx.QueryRow(ctx, there, m.table()).Scan(&made); err != nil || made {
		return err
	}
	from, to := uuidText(idAt(m.begin())), uuidText(idAt((m + 1).begin()))
	for _, statement := range []string{
		fmt.Sprintf("CREATE TABLE %s (LIKE records INCLUDING ALL) WITH (fillfactor = 90)", m.table()),
		fmt.Sprintf("ALTER TABLE records ATTACH PARTITION %s FOR VALUES FROM ('%s') TO ('%s')", m.table(), from, to),
	} {
		if _, err := tx.Exec(ctx, statement); err != nil {
			return fmt.Errorf("make the partition of a month: %w", err)
		}
	}
	return nil
}

func uuidText(id history.ID) string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}

// haveMonths makes the partitions that are missing.
func (s *Store) haveMonths(ctx context.Context, months []month) error {
	var missing []month
	for _, m := range months {
		if !s.months.has(m) {
			missing = append(missing, m)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	err := s.write(ctx, func(tx pgx.Tx) error {
		for _, m := range missing {
			if err := makeMonth(ctx, tx, m); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, m := range missing {
		s.months.add(m)
	}
	return nil
}
