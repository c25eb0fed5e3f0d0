// Package postgres keeps the access history in PostgreSQL: a Store that several history servers share.
//
// It owns the tables of its database, their migrations, and who waits for whom: what writes takes one lock of the
// database (see lock), what reads takes none. It must not decide what a record says: that is history.Merge.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tegata-dev/tegata/internal/history"
	"github.com/tegata-dev/tegata/internal/history/batching"
)

// Store is a history.Store. Close ends it.
type Store struct {
	pool *pgxpool.Pool
	// The pool's connections, by what they are for.
	reads, quick, writes share

	line     *batching.Line
	registry registry
	months   monthSet
	names    tombstones
	listener *listener
}

var _ history.Store = (*Store)(nil)

// Open connects to the database of a connection string, as libpq takes them, and brings its tables up to date. No
// error holds the string or its password. It is ErrNewer when a newer version has been there.
func Open(ctx context.Context, connString string) (*Store, error) {
	config, err := parse(connString)
	if err != nil {
		return nil, err
	}
	if err := migrate(ctx, config.ConnConfig); err != nil {
		return nil, err
	}
	reads := config.MaxConns
	config.MaxConns += quickConnections + writeConnections
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("open the history's database: %w", err)
	}
	s := &Store{
		pool: pool, listener: listen(config.ConnConfig),
		reads: newShare(pool, reads), quick: newShare(pool, quickConnections), writes: newShare(pool, writeConnections),
	}
	s.line = batching.New(batching.Writer{Write: s.putAll, Alone: isAnswer})
	return s, nil
}

// Ping says whether the database answers.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.quick.with(ctx, func(conn *pgxpool.Conn) error { return conn.Ping(ctx) }); err != nil {
		return fmt.Errorf("ping the history's database: %w", err)
	}
	return nil
}

// Close ends all connections, after what is under way.
func (s *Store) Close() error {
	s.listener.close()
	s.pool.Close()
	return nil
}

// writeLock is the key of the advisory lock that a transaction holds which writes. "tegata" in ASCII.
const writeLock = 0x746567617461

// locking takes the lock. One writer at a time makes three things simple that are hard to get right without it:
// totals are exact because no two transactions merge the same record, versions of changes become visible in their
// order, and there are no deadlocks whatever is in a batch. What it costs is small, because a transaction holds many
// records; it ends with the transaction, whatever becomes of the client.
var locking = fmt.Sprintf("SELECT pg_advisory_xact_lock(%d)", writeLock)

// write runs a transaction that holds the lock.
func (s *Store) write(ctx context.Context, do func(pgx.Tx) error) error {
	return unlessDeadlocked(func() error {
		return s.writes.with(ctx, func(conn *pgxpool.Conn) error {
			return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
				if _, err := tx.Exec(ctx, locking); err != nil {
					return fmt.Errorf("take the write lock: %w", err)
				}
				return do(tx)
			})
		})
	})
}

// maxTries is how often a transaction is tried that others were in the way of.
const maxTries = 4

// unlessDeadlocked runs a transaction again that was ended because of a deadlock. There is one lock for all who write,
// but who prepares a statement holds its partition before that, and who drops the partition waits for it.
func unlessDeadlocked(transaction func() error) error {
	err := transaction()
	for range maxTries - 1 {
		if !hasCode(err, deadlockDetected) {
			break
		}
		err = transaction()
	}
	return err
}

// isAnswer says whether an error is what the database says to a statement, or this store: of a database that is away,
// no part of what was to be written is the cause.
func isAnswer(err error) bool {
	_, ok := errors.AsType[*pgconn.PgError](err)
	return ok || errors.Is(err, errTooManyKinds)
}

// Codes of PostgreSQL's errors.
const (
	undefinedTable   = "42P01"
	deadlockDetected = "40P01"
)

func hasCode(err error, code string) bool {
	pgErr, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pgErr.Code == code
}

// isMonthMissing says whether an error is that there is no such partition.
func isMonthMissing(err error) bool { return hasCode(err, undefinedTable) }

// monthSet are the months that have a partition, as far as this store knows. One may have been dropped since.
type monthSet struct {
	mu  sync.Mutex
	all map[month]bool
}

func (m *monthSet) has(which month) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.all[which]
}

func (m *monthSet) add(which month) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.all == nil {
		m.all = map[month]bool{}
	}
	m.all[which] = true
}

func (m *monthSet) clear() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.all = nil
}

// statementTimeout bounds what one statement may take, unless the connection string says otherwise. Waiting for the
// lock counts.
const statementTimeout = 30 * time.Second
