package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tegata-dev/tegata/internal/history"
	"github.com/tegata-dev/tegata/internal/history/sqlite"
)

// sqliteFloor inserts the rows that a store has made of records into a file of the same tables, indexes and settings,
// where nobody merges or counts.
type sqliteFloor struct {
	dir          string
	source, bare *sql.DB
}

// newSQLiteFloor is the floor of the store in a directory, for records of one month.
func newSQLiteFloor(ctx context.Context, l *lab, of string, month time.Time) (f *sqliteFloor, err error) {
	f = &sqliteFloor{dir: filepath.Join(l.dir, "history-bare")}
	if err := makeSQLiteMonth(ctx, f.dir, month); err != nil {
		return nil, err
	}
	file := "history-" + month.Format("2006-01") + ".db"
	if f.source, err = openSQLite(filepath.Join(of, file), "query_only(ON)"); err != nil {
		return nil, err
	}
	f.bare, err = openSQLite(filepath.Join(f.dir, file))
	return f, err
}

// makeSQLiteMonth has a month's file with one record.
func makeSQLiteMonth(ctx context.Context, dir string, month time.Time) error {
	s, err := sqlite.Open(ctx, dir)
	if err != nil {
		return err
	}
	first := newAttempts(1)
	first.begin = month
	_, err = s.Put(ctx, []history.Record{otherThan(first.next(1)[0])})
	return errors.Join(err, s.Close())
}

// otherThan is a record that is not among those that a run inserts.
func otherThan(r history.Record) history.Record {
	r.ID[15]++
	return r
}

// openSQLite has the settings of the store (docs/history-sqlite.md).
func openSQLite(path string, more ...string) (*sql.DB, error) {
	q := url.Values{"_pragma": append([]string{"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)", "secure_delete(ON)", "cache_size(-16384)", "wal_autocheckpoint(8192)"}, more...)}
	db, err := sql.Open("sqlite", "file:"+path+"?"+q.Encode())
	if err == nil {
		db.SetMaxOpenConns(1)
	}
	return db, err
}

func (f *sqliteFloor) close() error {
	return errors.Join(f.source.Close(), f.bare.Close(), os.RemoveAll(f.dir))
}

func (f *sqliteFloor) insert(ctx context.Context, records []history.Record) (time.Duration, error) {
	rows, err := f.rowsOf(ctx, records)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	err = f.insertRows(rows)
	return time.Since(began), err
}

func (f *sqliteFloor) rowsOf(ctx context.Context, records []history.Record) (all [][]any, err error) {
	ids := make([]any, len(records))
	for i := range records {
		ids[i] = records[i].ID[:]
	}
	rows, err := f.source.QueryContext(ctx, "SELECT * FROM record WHERE id IN (?"+strings.Repeat(", ?", len(ids)-1)+")", ids...)
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // Err tells
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	for rows.Next() {
		values, into := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		all = append(all, values)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	if len(all) != len(records) {
		return nil, fmt.Errorf("%d rows came of %d records", len(all), len(records))
	}
	return all, nil
}

// insertRows has no context that could end: that would make it slower.
func (f *sqliteFloor) insertRows(rows [][]any) error {
	tx, err := f.bare.Begin() //nolint:noctx // see above
	if err != nil {
		return err
	}
	stmt, err := tx.Prepare("INSERT INTO record VALUES (?" + strings.Repeat(", ?", len(rows[0])-1) + ")") //nolint:noctx // see above
	if err != nil {
		return errors.Join(err, tx.Rollback())
	}
	for _, row := range rows {
		if _, err := stmt.Exec(row...); err != nil { //nolint:noctx // see above
			return errors.Join(err, tx.Rollback())
		}
	}
	return tx.Commit()
}
