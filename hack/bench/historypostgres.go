package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/procfs"

	"github.com/tegata-dev/tegata/internal/history"
	"github.com/tegata-dev/tegata/internal/history/postgres"
	"github.com/tegata-dev/tegata/internal/testenv/postgrestest"
)

// minPutShare is what Put may not fall below of a bare insert. The whole path, which has spool, TLS and authentication
// besides, is to reach 0.6 of it.
const minPutShare = 0.8

// postgresSettings are those of a server in production. PostgreSQL's manual has it keep a quarter of the memory for
// itself: what it has to ask the kernel for takes it three times as long.
func postgresSettings() (map[string]string, error) {
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return nil, err
	}
	memory, err := fs.Meminfo()
	if err != nil {
		return nil, err
	}
	return map[string]string{
		"shared_buffers": fmt.Sprintf("%dMB", *memory.MemTotalBytes/4>>20), "max_wal_size": "8GB", "checkpoint_timeout": "15min",
	}, nil
}

// measureHistoryPostgres measures the store on a PostgreSQL that waits for its disk.
func measureHistoryPostgres(ctx context.Context, l *lab) (_ []Row, err error) {
	settings, err := postgresSettings()
	if err != nil {
		return nil, err
	}
	server, err := postgrestest.Start(ctx, postgrestest.Options{Durable: true, Settings: settings})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	rows, err := measurePostgresIngest(ctx, l, server)
	if err != nil {
		return rows, err
	}
	many, few := newAttempts(scale(l, 10_000_000, 300_000)), newAttempts(scale(l, 1_000_000, 30_000))
	var stores [2]*postgres.Store
	for i, a := range []*attempts{few, many} {
		if stores[i], err = filledPostgres(ctx, l, server, a); err != nil {
			return rows, err
		}
		defer stores[i].Close() //nolint:errcheck,gocritic // it returns none; there are two
	}
	pages, err := pageRows(ctx, scale(l, 200, 40), stores[0], stores[1], few, many)
	return append(rows, pages...), err
}

func newPostgresStore(ctx context.Context, server *postgrestest.Server) (url string, s *postgres.Store, err error) {
	if url, err = server.NewDatabase(ctx); err == nil {
		s, err = postgres.Open(ctx, url)
	}
	return url, s, err
}

// filledPostgres has all of the attempts. Large batches are no different to who reads, and quicker.
func filledPostgres(ctx context.Context, l *lab, server *postgrestest.Server, a *attempts) (*postgres.Store, error) {
	const batch = 20_000
	_, s, err := newPostgresStore(ctx, server)
	if err != nil {
		return nil, err
	}
	for records := a.next(batch); len(records) > 0; records = a.next(batch) {
		if _, err := s.Put(ctx, records); err != nil {
			return s, err
		}
		if a.made%2_000_000 == 0 {
			l.say("%d of %d records", a.made, a.total)
		}
	}
	return s, nil
}

// measurePostgresIngest puts batches, and inserts the rows that came of each into the same tables of other databases,
// with the same indexes.
func measurePostgresIngest(ctx context.Context, l *lab, server *postgrestest.Server) (_ []Row, err error) {
	bench := &postgresIngest{}
	defer func() { err = errors.Join(err, bench.close(ctx)) }()
	warm, batches := scale(l, 100, 10), scale(l, 300, 30)
	a := newAttempts((warm + batches) * history.MaxBatch)
	a.users, a.span = 10_000, 20*24*time.Hour // all in one month
	if err := bench.open(ctx, server, a.begin); err != nil {
		return nil, err
	}
	var times [3][]float64
	for n := range warm + batches {
		took, err := bench.round(ctx, a.next(history.MaxBatch))
		if err != nil {
			return nil, err
		}
		for i := range took {
			if n >= warm {
				times[i] = append(times[i], took[i].Seconds())
			}
		}
	}
	rate := func(i int) float64 { return history.MaxBatch / median(times[i]) }
	return []Row{{
		What: "records put, a thousand at a time", Unit: perSecond, Figure: Figure(rate(0)), Floor: Figure(rate(1)), Bound: &Bound{ofRatio, atLeast, minPutShare},
		Note: fmt.Sprintf("one connection, fsync on; the floor is one INSERT of the same thousand rows into the same table with its indexes; by COPY that would be %.0f/s", rate(2)),
	}}, nil
}

// postgresIngest is a store, and connections to two databases as it makes them, where nobody merges or counts.
type postgresIngest struct {
	store  *postgres.Store
	source *pgx.Conn
	bare   [2]*pgx.Conn
}

func (b *postgresIngest) open(ctx context.Context, server *postgrestest.Server, month time.Time) error {
	url, s, err := newPostgresStore(ctx, server)
	if err != nil {
		return err
	}
	b.store = s
	return b.openFloor(ctx, server, url, month)
}

// openFloor is of the store in a database.
func (b *postgresIngest) openFloor(ctx context.Context, server *postgrestest.Server, url string, month time.Time) (err error) {
	if b.source, err = pgx.Connect(ctx, url); err != nil {
		return err
	}
	for i := range b.bare {
		url, other, err := newPostgresStore(ctx, server)
		if err != nil {
			return err
		}
		first := newAttempts(1)
		first.begin = month
		_, err = other.Put(ctx, []history.Record{otherThan(first.next(1)[0])}) // makes the month
		if err := errors.Join(err, other.Close()); err != nil {
			return err
		}
		if b.bare[i], err = pgx.Connect(ctx, url); err != nil {
			return err
		}
	}
	return nil
}

func (b *postgresIngest) close(ctx context.Context) error {
	var errs []error
	for _, conn := range []*pgx.Conn{b.source, b.bare[0], b.bare[1]} {
		if conn != nil {
			errs = append(errs, conn.Close(ctx))
		}
	}
	if b.store != nil {
		errs = append(errs, b.store.Close())
	}
	return errors.Join(errs...)
}

// round is how long a batch takes: put, inserted, copied.
func (b *postgresIngest) round(ctx context.Context, records []history.Record) (took [3]time.Duration, err error) {
	began := time.Now()
	if _, err := b.store.Put(ctx, records); err != nil {
		return took, err
	}
	took[0] = time.Since(began)
	columns, rows, err := b.rowsOf(ctx, records)
	if err != nil {
		return took, err
	}
	if took[1], err = b.insertRows(ctx, columns, rows); err != nil {
		return took, err
	}
	began = time.Now()
	if _, err := b.bare[1].CopyFrom(ctx, pgx.Identifier{"records"}, columns, pgx.CopyFromRows(rows)); err != nil {
		return took, err
	}
	took[2] = time.Since(began)
	return took, nil
}

// insert is how long one INSERT of the rows takes that came of records.
func (b *postgresIngest) insert(ctx context.Context, records []history.Record) (time.Duration, error) {
	columns, rows, err := b.rowsOf(ctx, records)
	if err != nil {
		return 0, err
	}
	return b.insertRows(ctx, columns, rows)
}

func (b *postgresIngest) insertRows(ctx context.Context, columns []string, rows [][]any) (time.Duration, error) {
	began := time.Now()
	statement, arguments := multiRowInsert(columns, rows)
	_, err := b.bare[0].Exec(ctx, statement, arguments...)
	return time.Since(began), err
}

// rowsOf are the rows that came of records.
func (b *postgresIngest) rowsOf(ctx context.Context, records []history.Record) (columns []string, rows [][]any, err error) {
	ids := make([][16]byte, len(records))
	for i := range records {
		ids[i] = records[i].ID
	}
	found, err := b.source.Query(ctx, "SELECT * FROM records WHERE id = ANY($1)", ids)
	if err != nil {
		return nil, nil, err
	}
	for _, field := range found.FieldDescriptions() {
		columns = append(columns, field.Name)
	}
	rows, err = pgx.CollectRows(found, func(row pgx.CollectableRow) ([]any, error) { return row.Values() })
	if err == nil && len(rows) != len(records) {
		err = fmt.Errorf("%d rows came of %d records", len(rows), len(records))
	}
	return columns, rows, err
}

func multiRowInsert(columns []string, rows [][]any) (statement string, arguments []any) {
	var b strings.Builder
	fmt.Fprintf(&b, "INSERT INTO records (%s) VALUES", strings.Join(columns, ", "))
	before := " ("
	for _, row := range rows {
		for _, value := range row {
			arguments = append(arguments, value)
			fmt.Fprintf(&b, "%s$%d", before, len(arguments))
			before = ", "
		}
		before = "), ("
	}
	b.WriteString(")")
	return b.String(), arguments
}
