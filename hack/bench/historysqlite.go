package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/tegata-dev/tegata/internal/history"
	"github.com/tegata-dev/tegata/internal/history/sqlite"
)

// The bounds of the issue, but for that of ingest: the whole path, with spool, TLS and authentication, is to reach
// 0.6 of a bare batched insert. Put is only a part of it.
const (
	minSQLitePut     = 0.8
	maxRecordSize    = 300
	maxHistoryMemory = 150 << 20
	// historyMemoryLimit is cmd/history's.
	historyMemoryLimit = 112 << 20
)

// measureHistorySQLite measures the store in files, with as many records as the issue names.
func measureHistorySQLite(ctx context.Context, l *lab) ([]Row, error) {
	rows, err := measureSQLiteIngest(ctx, l)
	if err != nil {
		return rows, err
	}
	some, err := measureSQLitePages(ctx, l)
	return append(rows, some...), err
}

// measureSQLitePages reads pages of a store with many records, and of one with a tenth.
func measureSQLitePages(ctx context.Context, l *lab) (rows []Row, err error) {
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(historyMemoryLimit))
	debug.FreeOSMemory() // of what was measured before
	if err := resetPeak(os.Getpid()); err != nil {
		return nil, err
	}
	many, few := newAttempts(l.records), newAttempts(l.records/10)
	var stores [2]*sqlite.Store
	defer func() {
		for _, s := range stores {
			if s != nil {
				err = errors.Join(err, s.Close())
			}
		}
	}()
	var size int64
	for i, a := range []*attempts{few, many} {
		dir := filepath.Join(l.dir, fmt.Sprintf("history-%d", i))
		if size, err = fillSQLite(ctx, l, dir, a); err != nil {
			return nil, err
		}
		if stores[i], err = sqlite.Open(ctx, dir); err != nil {
			return nil, err
		}
	}
	rows, err = pageRows(ctx, scale(l, 200, 40), stores[0], stores[1], few, many)
	if err != nil {
		return rows, err
	}
	_, peak, err := memoryUse(os.Getpid())
	return append(rows,
		Row{What: "on disk for each record, indexes included", Unit: bytesUnit, Figure: Figure(float64(size) / float64(many.made)), Bound: figureAtMost(maxRecordSize)},
		Row{What: "memory while records came in and pages were read", Unit: bytesUnit, Figure: Figure(peak),
			Note: "of the whole process that measures, with both stores and what it makes records from; history-ingest has the server's"}), err
}

// fillSQLite puts all attempts into a directory, and says how large its files are then.
func fillSQLite(ctx context.Context, l *lab, dir string, a *attempts) (size int64, err error) {
	const batch = 10_000 // no different to who reads, and quicker
	s, err := sqlite.Open(ctx, dir)
	if err != nil {
		return 0, err
	}
	for records := a.next(batch); len(records) > 0 && err == nil; records = a.next(batch) {
		_, err = s.Put(ctx, records)
		if a.made%1_000_000 == 0 {
			l.say("%d of %d records", a.made, a.total)
		}
	}
	if err := errors.Join(err, s.Close()); err != nil {
		return 0, err
	}
	files, err := os.ReadDir(dir)
	for _, file := range files {
		info, e := file.Info()
		if e != nil {
			return 0, e
		}
		size += info.Size()
	}
	return size, err
}

// measureSQLiteIngest puts batches into a month, and inserts the rows that came of each into another file of the same
// tables and settings.
func measureSQLiteIngest(ctx context.Context, l *lab) (_ []Row, err error) {
	warm, batches := scale(l, 100, 40), scale(l, 300, 60)
	a := newAttempts((warm + batches) * history.MaxBatch)
	a.users, a.span = 10_000, 20*24*time.Hour // all in one month
	b, err := newSQLiteIngest(ctx, l, a)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	var times [2][]float64
	for n := range warm + batches {
		put, bare, err := b.round(ctx, a.next(history.MaxBatch))
		if err != nil {
			return nil, err
		}
		if n >= warm {
			times[0], times[1] = append(times[0], put.Seconds()), append(times[1], bare.Seconds())
		}
	}
	rate := func(i int) float64 { return float64(history.MaxBatch*len(times[i])) / sum(times[i]) }
	return []Row{{
		What: "records put, a thousand at a time", Unit: perSecond, Figure: Figure(rate(0)), Floor: Figure(rate(1)), Bound: &Bound{ofRatio, atLeast, minSQLitePut},
		Note: fmt.Sprintf("of %d users; the floor is a transaction with a prepared INSERT for each of the same rows, into a file with the same indexes and settings", a.users),
	}}, nil
}

func sum(xs []float64) (total float64) {
	for _, x := range xs {
		total += x
	}
	return total
}

// sqliteIngest is a store, and its floor.
type sqliteIngest struct {
	dir   string
	store *sqlite.Store
	floor *sqliteFloor
}

func newSQLiteIngest(ctx context.Context, l *lab, a *attempts) (*sqliteIngest, error) {
	b := &sqliteIngest{dir: filepath.Join(l.dir, "history-put")}
	var err error
	if b.store, err = sqlite.Open(ctx, b.dir); err != nil {
		return nil, err
	}
	b.floor, err = newSQLiteFloor(ctx, l, b.dir, a.begin)
	return b, err
}

func (b *sqliteIngest) close() error {
	return errors.Join(b.floor.close(), b.store.Close(), os.RemoveAll(b.dir))
}

// round is how long a batch takes to be put, and to be inserted.
func (b *sqliteIngest) round(ctx context.Context, records []history.Record) (put, bare time.Duration, err error) {
	began := time.Now()
	if _, err := b.store.Put(ctx, records); err != nil {
		return 0, 0, err
	}
	put = time.Since(began)
	bare, err = b.floor.insert(ctx, records)
	return put, bare, err
}
