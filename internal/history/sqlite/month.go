package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"sync"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/tegata-dev/tegata/internal/history"
)

// monthKey is a month in UTC: twelve times the year, and the months since its first.
type monthKey int

func monthOf(id history.ID) monthKey {
	t := history.Millis(id.Time()).Time() //nolint:gosec // 48 bits
	if id.Time() == 0 {
		t = time.Unix(0, 0).UTC()
	}
	return monthAt(t)
}

func monthAt(t time.Time) monthKey {
	t = t.UTC()
	return monthKey(t.Year()*12 + int(t.Month()) - 1)
}

// begin is the first moment of the month.
func (k monthKey) begin() time.Time {
	return time.Date(int(k)/12, time.Month(int(k)%12+1), 1, 0, 0, 0, 0, time.UTC)
}

func (k monthKey) String() string { return fmt.Sprintf("%04d-%02d", int(k)/12, int(k)%12+1) }

const (
	// Of an open month, what its connections keep in memory at most, in KiB.
	writerCache = 16 << 10
	readerCache = 1 << 10
	// readers of one month at once; more wait.
	readers = 4
	// checkpointPages is how long the log grows before what it holds is written into the file: the longer, the more
	// often a page has been changed by then, and is written once for all.
	checkpointPages = 8192
	// maxLogBytes is how long it grows while readers keep it: four times as long as without them. Then they wait until
	// it is empty: it would grow for as long as they overlap.
	maxLogBytes = 128 << 20
)

// month is an open file.
type month struct {
	key  monthKey
	path string

	// What follows is of who holds the store's writer.
	writeDB *sql.DB
	write   *sql.Conn // nil until something is written
	writes  statements
	known   dictionary
	fold    *folding

	reads   *sql.DB
	readers statements
	// places are of those who read. There is one connection more than places, on which a statement is prepared: one
	// who has a connection and waited for another would wait for those who wait likewise.
	places chan struct{}
	// quiet is held by readers for as long as they look, and locked to have none.
	quiet sync.RWMutex

	// of the store's mutex
	refs     int
	used     uint64
	dropping bool
}

// statements are those prepared so far.
type statements struct {
	mu      sync.Mutex
	prepare func(context.Context, string) (*sql.Stmt, error)
	all     map[string]*sql.Stmt
}

// of prepares a statement once. What is done with it is bounded, and is not to be interrupted: a context that can
// end costs a goroutine each time.
func (s *statements) of(text string) (*sql.Stmt, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if stmt, ok := s.all[text]; ok {
		return stmt, nil
	}
	stmt, err := s.prepare(context.Background(), text)
	if err != nil {
		return nil, err
	}
	if s.all == nil {
		s.all = map[string]*sql.Stmt{}
	}
	s.all[text] = stmt
	return stmt, nil
}

// dsn names a file with the settings of a connection. With synchronous=FULL, a commit is on disk when it returns;
// with NORMAL, a power loss would take back what was acknowledged since the last checkpoint. What is deleted is
// overwritten with zeros.
func dsn(path string, settings ...string) string {
	q := url.Values{}
	for _, s := range append([]string{"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)", "secure_delete(ON)"}, settings...) {
		q.Add("_pragma", s)
	}
	return "file:" + (&url.URL{Path: filepath.ToSlash(path)}).EscapedPath() + "?" + q.Encode()
}

// openFile opens a file, making its tables when it has none.
func openFile(ctx context.Context, path, schema string, settings ...string) (*sql.DB, error) {
	db, err := sql.Open("sqlite", dsn(path, settings...))
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	if err := prepareFile(ctx, db, schema); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

func prepareFile(ctx context.Context, db *sql.DB, schema string) error {
	var version int
	if err := db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return err
	}
	switch version {
	case schemaVersion:
		return nil
	case 0:
	default:
		return fmt.Errorf("it is of version %d, and this program knows version %d only", version, schemaVersion)
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, schema); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// openMonth opens a month's file for reading; one that is new gets its tables.
func openMonth(ctx context.Context, key monthKey, path string, settings ...string) (*month, error) {
	writeDB, err := sql.Open("sqlite", dsn(path, append([]string{
		fmt.Sprintf("cache_size(-%d)", writerCache), fmt.Sprintf("wal_autocheckpoint(%d)", checkpointPages),
	}, settings...)...))
	if err != nil {
		return nil, err
	}
	reads, err := sql.Open("sqlite", dsn(path, fmt.Sprintf("cache_size(-%d)", readerCache), "query_only(ON)"))
	if err != nil {
		return nil, errors.Join(err, writeDB.Close())
	}
	writeDB.SetMaxIdleConns(0) // who stops writing gives the memory back
	reads.SetMaxOpenConns(readers + 1)
	reads.SetMaxIdleConns(1)
	m := &month{key: key, path: path, writeDB: writeDB, reads: reads, places: make(chan struct{}, readers), fold: newFolding()}
	m.readers.prepare = reads.PrepareContext
	if err := m.prepare(ctx); err != nil {
		return nil, errors.Join(err, m.close())
	}
	return m, nil
}

func (m *month) prepare(ctx context.Context) error {
	var version int
	if err := m.reads.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return err
	}
	if version != schemaVersion {
		if err := prepareFile(ctx, m.writeDB, schema); err != nil {
			return err
		}
	}
	return m.fold.load(ctx, m.reads)
}

// startWriting begins a transaction on the connection that writes.
func (m *month) startWriting(ctx context.Context) error {
	if m.write == nil {
		conn, err := m.writeDB.Conn(ctx)
		if err != nil {
			return err
		}
		m.write, m.writes.prepare = conn, conn.PrepareContext
		m.known.clear()
	}
	_, err := m.exec("BEGIN IMMEDIATE")
	return err
}

// stopWriting closes the connection that writes.
func (m *month) stopWriting() error {
	if m.write == nil {
		return nil
	}
	err := errors.Join(m.writes.close(), m.write.Close())
	m.write, m.known = nil, dictionary{}
	return err
}

// rollback takes back what was written. What the dictionary has learnt since may not be there any more. A connection
// on which that fails is closed, which takes it back as well; after an error of the disk there may be nothing to take
// back.
func (m *month) rollback() error {
	m.known.clear()
	if _, err := m.exec("ROLLBACK"); err != nil {
		return m.stopWriting()
	}
	return nil
}

// exec runs a statement on the writer's connection.
func (m *month) exec(text string, args ...any) (sql.Result, error) {
	stmt, err := m.writes.of(text)
	if err != nil {
		return nil, err
	}
	return stmt.ExecContext(context.Background(), args...)
}

// row is the row that a statement finds there.
func (m *month) row(text string, args ...any) (*sql.Row, error) {
	stmt, err := m.writes.of(text)
	if err != nil {
		return nil, err
	}
	return stmt.QueryRowContext(context.Background(), args...), nil
}

// rows are those that a statement finds there.
func (m *month) rows(text string, args ...any) (*sql.Rows, error) {
	stmt, err := m.writes.of(text)
	if err != nil {
		return nil, err
	}
	return stmt.QueryContext(context.Background(), args...)
}

func (s *statements) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, stmt := range s.all {
		errs = append(errs, stmt.Close())
	}
	s.all = nil
	return errors.Join(errs...)
}

func (m *month) close() error {
	return errors.Join(m.readers.close(), m.reads.Close(), m.stopWriting(), m.writeDB.Close())
}
