package sqlite

import (
	"context"
	"database/sql"
	"errors"
)

// reading is a look at a month as it was at one moment. It waits for nobody who writes.
type reading struct {
	month *month
	tx    *sql.Tx
}

func (m *month) read(ctx context.Context, f func(*reading) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case m.places <- struct{}{}:
		defer func() { <-m.places }()
	case <-ctx.Done():
		return ctx.Err()
	}
	m.quiet.RLock()
	defer m.quiet.RUnlock()
	tx, err := m.reads.BeginTx(context.WithoutCancel(ctx), nil)
	if err != nil {
		return err
	}
	err = f(&reading{m, tx})
	return errors.Join(err, tx.Rollback())
}

// query runs a statement, which stays prepared unless it is a large one.
func (r *reading) query(text string, args []any) (*sql.Rows, error) {
	if !isKept(text) {
		return r.tx.QueryContext(context.Background(), text, args...)
	}
	stmt, err := r.of(text)
	if err != nil {
		return nil, err
	}
	return stmt.QueryContext(context.Background(), args...)
}

func (r *reading) of(text string) (*sql.Stmt, error) {
	stmt, err := r.month.readers.of(text)
	if err != nil {
		return nil, err
	}
	return r.tx.StmtContext(context.Background(), stmt), nil
}

func (r *reading) row(text string, args []any, into ...any) error {
	found := false
	err := r.each(text, args, func(rows *sql.Rows) error {
		found = true
		return rows.Scan(into...)
	})
	if err == nil && !found {
		return sql.ErrNoRows
	}
	return err
}

// each calls f with each row of a query.
func (r *reading) each(text string, args []any, f func(*sql.Rows) error) error {
	rows, err := r.query(text, args)
	if err != nil {
		return err
	}
	defer rows.Close() //nolint:errcheck // Err tells
	for rows.Next() {
		if err := f(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}
