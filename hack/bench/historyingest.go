package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tegata-dev/tegata/internal/history"
	"github.com/tegata-dev/tegata/internal/testenv/postgrestest"
)

// minIngest is what the whole path may not fall below of a bare insert (issue: "ingest through the whole path (spool,
// TLS, authentication, deduplication, totals): at least 0.6 of a bare batched insert of the same rows into the same
// store").
const minIngest = 0.6

const (
	// historySidecars send at the same time.
	historySidecars = 3
	// turnBatches are sent, and then inserted, in one turn.
	turnBatches = 45
)

// floor inserts the rows that came of records into the same tables, and says how long that takes.
type floor interface {
	insert(context.Context, []history.Record) (time.Duration, error)
}

// measureHistoryIngest has sidecars' recorders send to the shipped history server, with either store behind it.
func measureHistoryIngest(ctx context.Context, l *lab) ([]Row, error) {
	rows, err := measureIngestSQLite(ctx, l)
	if err != nil {
		return rows, fmt.Errorf("to SQLite: %w", err)
	}
	some, err := measureIngestPostgres(ctx, l)
	if err != nil {
		return rows, fmt.Errorf("to PostgreSQL: %w", err)
	}
	return append(rows, some...), nil
}

func measureIngestSQLite(ctx context.Context, l *lab) (_ []Row, err error) {
	i, err := newIngest(l, "sqlite")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, i.close(ctx)) }()
	store := filepath.Join(i.dir, "db")
	if err := i.start(ctx, l, "--sqlite-dir="+store); err != nil {
		return nil, err
	}
	f, err := newSQLiteFloor(ctx, l, store, i.records.begin)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	return i.measure(ctx, l, f, "SQLite")
}

func measureIngestPostgres(ctx context.Context, l *lab) (_ []Row, err error) {
	i, err := newIngest(l, "postgres")
	if err != nil {
		return nil, err
	}
	settings, err := postgresSettings()
	if err != nil {
		return nil, err
	}
	server, err := postgrestest.Start(ctx, postgrestest.Options{Durable: true, Settings: settings})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	url, err := server.NewDatabase(ctx)
	if err != nil {
		return nil, err
	}
	dsn := filepath.Join(i.dir, "dsn")
	if err := os.WriteFile(dsn, []byte(url), 0o600); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, i.close(ctx)) }()
	if err := i.start(ctx, l, "--store=postgres", "--postgres-dsn-file="+dsn); err != nil {
		return nil, err
	}
	f := &postgresIngest{}
	defer func() { err = errors.Join(err, f.close(ctx)) }()
	if err := f.openFloor(ctx, server, url, i.records.begin); err != nil {
		return nil, err
	}
	return i.measure(ctx, l, f, "PostgreSQL")
}

// ingest is a history server, and sidecars that send to it.
type ingest struct {
	dir      string
	records  *attempts
	warm     int
	turns    int
	server   *historyServer
	sidecars []*historySidecar
}

func newIngest(l *lab, name string) (*ingest, error) {
	i := &ingest{dir: filepath.Join(l.dir, "ingest-"+name), warm: scale(l, 3, 1), turns: scale(l, 10, 2)}
	i.records = newAttempts((i.warm+i.turns+1)*turnBatches*history.MaxBatch + historySidecars*maxAheadOfServer)
	i.records.users = 10_000
	now := time.Now().UTC()
	i.records.begin = time.Date(now.Year(), now.Month()-1, 1, 0, 0, 0, 0, time.UTC) // the server keeps none of the future
	i.records.span = 20 * 24 * time.Hour                                            // all in one month
	return i, os.Mkdir(i.dir, 0o700)
}

func (i *ingest) start(ctx context.Context, l *lab, flags ...string) error {
	p, err := l.realPlane(ctx)
	if err != nil {
		return err
	}
	if i.server, err = p.startHistory(ctx, i.dir, flags...); err != nil {
		return err
	}
	for n := range historySidecars {
		s, err := startHistorySidecar(ctx, i.dir, fmt.Sprintf("asp%d", n), i.server)
		if err != nil {
			return err
		}
		i.sidecars = append(i.sidecars, s)
	}
	return i.feed(ctx, i.next(historySidecars*maxAheadOfServer/2)) // batches are full from the first turn on
}

func (i *ingest) close(ctx context.Context) error {
	for _, s := range i.sidecars {
		s.stop()
	}
	if i.server == nil || i.server.process == nil {
		return nil
	}
	return i.server.process.Terminate(ctx)
}

// next are records for each sidecar.
func (i *ingest) next(count int) [historySidecars][]history.Record {
	var all [historySidecars][]history.Record
	for _, r := range i.records.next(count) {
		n := int(r.Server[len(r.Server)-1] - '0')
		all[n] = append(all[n], r)
	}
	return all
}

func (i *ingest) feed(ctx context.Context, records [historySidecars][]history.Record) error {
	group, ctx := errgroup.WithContext(ctx)
	for n, s := range i.sidecars {
		group.Go(func() error { return s.feed(ctx, records[n]) })
	}
	return group.Wait()
}

// ingested is what one turn, or several, came to.
type ingested struct {
	records                   int
	took, bare, server, sides time.Duration
}

func (i *ingest) measure(ctx context.Context, l *lab, f floor, store string) ([]Row, error) {
	var all ingested
	for n := range i.warm + i.turns {
		one, err := i.turn(ctx, f)
		if err != nil {
			return nil, err
		}
		l.say("%s: %.0f records/s, %.0f/s inserted", store, one.rate(one.took), one.rate(one.bare))
		if n >= i.warm {
			all.records += one.records
			all.took += one.took
			all.bare += one.bare
			all.server += one.server
			all.sides += one.sides
		}
	}
	_, peak, err := memoryUse(i.server.process.PID())
	return all.rows(store, peak), err
}

func (t *ingested) rate(took time.Duration) float64 { return float64(t.records) / took.Seconds() }

func (t *ingested) rows(store string, peak uint64) []Row {
	each := func(took time.Duration) Figure { return Figure(float64(took) / float64(t.records)) }
	return []Row{
		{
			What: "to " + store + ", records", Unit: perSecond, Figure: Figure(t.rate(t.took)), Floor: Figure(t.rate(t.bare)), CPU: each(t.server), Bound: &Bound{ofRatio, atLeast, minIngest},
			Note: fmt.Sprintf("%d records from %d recorders with their spools, over TLS, by tokens that the API server reviews, to the shipped server, all on this machine; the floor inserts the same rows, a thousand at a time, into the same tables; the sidecars' CPU is %s a record",
				t.records, historySidecars, nanoseconds.format(float64(each(t.sides)))),
		},
		{What: "to " + store + ", memory of the history server", Unit: bytesUnit, Figure: Figure(peak), Bound: figureAtMost(maxHistoryMemory)},
	}
}

// turn has the sidecars send, and then the same rows be inserted.
func (i *ingest) turn(ctx context.Context, f floor) (t ingested, err error) {
	if err := i.send(ctx, &t); err != nil {
		return t, err
	}
	for _, s := range i.sidecars {
		batches, err := s.gate.take()
		if err != nil {
			return t, err
		}
		for _, batch := range batches {
			took, err := f.insert(ctx, batch)
			if err != nil {
				return t, err
			}
			t.records += len(batch)
			t.bare += took
		}
	}
	return t, nil
}

// send opens the gates until so many batches have passed, while as many records come in.
func (i *ingest) send(ctx context.Context, t *ingested) error {
	const count = turnBatches * history.MaxBatch
	more := i.next(count)
	server, err := cpuTime(i.server.process.PID())
	if err != nil {
		return err
	}
	sides, err := ownCPUTime()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	began := time.Now()
	for _, s := range i.sidecars {
		s.gate.closed.Unlock()
	}
	group.Go(func() error { return i.feed(ctx, more) })
	if err = i.awaitSent(ctx, count); err != nil {
		cancel()
	}
	for _, s := range i.sidecars {
		s.gate.closed.Lock() // behind the batches that are on their way
	}
	t.took = time.Since(began)
	serverNow, e := cpuTime(i.server.process.PID())
	sidesNow, e2 := ownCPUTime()
	t.server, t.sides = serverNow-server, sidesNow-sides
	return errors.Join(err, group.Wait(), e, e2)
}

// awaitSent waits until so many records have passed.
func (i *ingest) awaitSent(ctx context.Context, count int) error {
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for {
		sent := 0
		for _, s := range i.sidecars {
			n, err := s.gate.sent()
			if err != nil {
				return err
			}
			sent += n
		}
		if sent >= count {
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
