package postgres

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
)

//go:embed migrations/*.sql
var migrations embed.FS

// ErrNewer says that a newer version of Tegata has changed the tables.
var ErrNewer = errors.New("the history's database was used by a newer version of Tegata: run that one, or a newer one")

// versionTable is where goose notes which migrations were applied.
const versionTable = "schema_versions"

// migrate brings the tables up to date. Of several servers that start at once, one does it and the others wait.
func migrate(ctx context.Context, config *pgx.ConnConfig) (err error) {
	config = config.Copy()
	for _, name := range []string{"statement_timeout", "idle_in_transaction_session_timeout", "enable_seqscan", "plan_cache_mode"} {
		delete(config.RuntimeParams, name) // a migration takes as long as it takes, and so do those who wait
	}
	config.RuntimeParams["statement_timeout"] = "0"
	db := stdlib.OpenDB(*config)
	defer func() { err = errors.Join(err, db.Close()) }()
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files, goose.WithTableName(versionTable),
		goose.WithSessionLocker(sessionLock{}), goose.WithLogger(goose.NopLogger()), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("read the migrations: %w", err)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrate the history's database: %w", err)
	}
	current, known, err := provider.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("read the version of the history's database: %w", err)
	}
	if current > known {
		return fmt.Errorf("%w: it has version %d, known are those up to %d", ErrNewer, current, known)
	}
	return nil
}

// sessionLock is a lock that the server waits for. goose's own tries each five seconds.
type sessionLock struct{}

const migrationLock = writeLock + 1

func (sessionLock) SessionLock(ctx context.Context, conn *sql.Conn) error {
	_, err := conn.ExecContext(ctx, "SELECT pg_advisory_lock($1)", int64(migrationLock))
	return err
}

func (sessionLock) SessionUnlock(ctx context.Context, conn *sql.Conn) error {
	_, err := conn.ExecContext(ctx, "SELECT pg_advisory_unlock($1)", int64(migrationLock))
	return err
}
