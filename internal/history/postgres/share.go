package postgres

import (
	"context"

	"github.com/jackc/pgx/v5/pgxpool"
)

// share is the connections that some of what a store does may have at a time. Whoever wants one more waits for those
// who do the same, and for nobody else: readers, however many and slow, keep nobody from writing. Nobody may ask for
// another connection while holding one.
type share struct {
	pool   *pgxpool.Pool
	places chan struct{}
}

func newShare(pool *pgxpool.Pool, connections int32) share {
	return share{pool: pool, places: make(chan struct{}, connections)}
}

// with lends a connection.
func (s share) with(ctx context.Context, do func(*pgxpool.Conn) error) error {
	select {
	case s.places <- struct{}{}:
		defer func() { <-s.places }()
	case <-ctx.Done():
		return ctx.Err()
	}
	return s.pool.AcquireFunc(ctx, do)
}

const (
	// writeConnections is one: who has it takes the lock, and another one would only wait for that.
	writeConnections = 1
	// quickConnections are for what takes a moment, for which hundreds of followers ask at once.
	quickConnections = 2
)
