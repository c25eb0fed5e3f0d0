package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tegata-dev/tegata/internal/history"
)

// kind is what the records of a stream have in common.
type kind struct {
	server  int32
	program string
	result  history.Result
	reason  string
}

// stream is a row of the table, with the names that it leads to.
type stream struct {
	kind
	id, ns           int32
	namespace, relay string
}

// maxStreams bounds the streams of a server, because each has its part in a page. There are some forty kinds; a
// sidecar that tells of hundreds makes them up.
const maxStreams = 200

var errTooManyKinds = errors.New("there are too many programs, results and reasons")

// registry is what is known of the streams. They never change and are never removed, so what was read once holds.
type registry struct {
	mu      sync.RWMutex
	newest  int32
	byID    map[int32]*stream
	byKind  map[kind]*stream
	servers map[int32]int // streams of each
}

const readStreams = `SELECT s.id, s.server, s.program, s.result, s.reason, v.ns, n.name, v.name
	FROM streams s JOIN servers v ON v.id = s.server JOIN namespaces n ON n.id = v.ns WHERE s.id > $1 ORDER BY s.id`

func (r *registry) known() int32 {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.newest
}

// take takes in rows of readStreams that are committed. Ids become visible in their order, because they are given
// under the lock.
func (r *registry) take(rows pgx.Rows) error {
	read, err := pgx.CollectRows(rows, scanStream)
	if err != nil {
		return fmt.Errorf("read streams: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byID == nil {
		r.byID, r.byKind, r.servers = map[int32]*stream{}, map[kind]*stream{}, map[int32]int{}
	}
	for _, s := range read {
		if r.byID[s.id] == nil {
			r.servers[s.server]++
		}
		r.byID[s.id], r.byKind[s.kind] = s, s
		r.newest = max(r.newest, s.id)
	}
	return nil
}

func scanStream(row pgx.CollectableRow) (*stream, error) {
	s := &stream{}
	return s, row.Scan(&s.id, &s.server, &s.program, &s.result, &s.reason, &s.ns, &s.namespace, &s.relay)
}

func (r *registry) stream(id int32) *stream {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.byID[id]
}

func (r *registry) find(k kind) *stream {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.byKind[k]
}

// count is how many streams a server has.
func (r *registry) count(server int32) int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.servers[server]
}

// matching are the streams that may hold records of a filter.
func (r *registry) matching(f *history.Filter) []*stream {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var found []*stream
	for _, s := range r.byID {
		if chosen(f.Namespace, s.namespace) && chosen(f.Server, s.relay) && chosen(f.Program, s.program) &&
			chosen(f.Result, s.result) && chosen(f.Reason, s.reason) {
			found = append(found, s)
		}
	}
	return found
}

func chosen[T ~string](want, got T) bool { return want == "" || want == got }

// refresh reads the streams that are new.
func (s *Store) refresh(ctx context.Context, q querier) error {
	rows, err := q.Query(ctx, readStreams, s.registry.known())
	if err != nil {
		return fmt.Errorf("read streams: %w", err)
	}
	return s.registry.take(rows)
}

// serverKey names a server.
type serverKey struct{ namespace, name string }

// server is a row of the table.
type server struct {
	id, ns  int32
	expired history.Millis
}

const readServers = `SELECT v.id, v.ns, v.expired, n.name, v.name FROM unnest($1::text[], $2::text[]) AS want(namespace, name)
	JOIN namespaces n ON n.name = want.namespace JOIN servers v ON v.ns = n.id AND v.name = want.name`

// Servers are those of which there may be records. See history.Store.
func (s *Store) Servers(ctx context.Context) ([]history.ServerName, error) {
	var found []history.ServerName
	err := s.reads.with(ctx, func(conn *pgxpool.Conn) error {
		rows, err := conn.Query(ctx, `SELECT n.name, v.name FROM servers v JOIN namespaces n ON n.id = v.ns
			WHERE EXISTS (SELECT FROM streams s JOIN stream_months m ON m.stream = s.id WHERE s.server = v.id)
			ORDER BY n.name, v.name`)
		if err == nil {
			found, err = pgx.CollectRows(rows, pgx.RowToStructByPos[history.ServerName])
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list servers: %w", err)
	}
	return found, nil
}

func scanServers(rows pgx.Rows) (map[serverKey]server, error) {
	found := map[serverKey]server{}
	var v server
	var key serverKey
	_, err := pgx.ForEachRow(rows, []any{&v.id, &v.ns, &v.expired, &key.namespace, &key.name}, func() error {
		found[key] = v
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read servers: %w", err)
	}
	return found, nil
}

// makeServer adds a server. It must hold the lock.
func makeServer(ctx context.Context, tx pgx.Tx, key serverKey) (server, error) {
	var v server
	err := tx.QueryRow(ctx, `WITH made AS (INSERT INTO namespaces (name) VALUES ($1) ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING id)
		INSERT INTO servers (ns, name) SELECT id, $2 FROM made RETURNING id, ns, expired`, key.namespace, key.name).Scan(&v.id, &v.ns, &v.expired)
	if err != nil {
		return v, fmt.Errorf("add server %s/%s: %w", key.namespace, key.name, err)
	}
	return v, nil
}

// makeStream adds a stream. It must hold the lock. The registry takes it in when it was committed.
func makeStream(ctx context.Context, tx pgx.Tx, of serverKey, v server, k kind) (*stream, error) {
	made := &stream{kind: k, ns: v.ns, namespace: of.namespace, relay: of.name}
	err := tx.QueryRow(ctx, "INSERT INTO streams (server, program, result, reason) VALUES ($1, $2, $3, $4) RETURNING id",
		k.server, k.program, string(k.result), k.reason).Scan(&made.id)
	if err != nil {
		return nil, fmt.Errorf("add a stream of server %s/%s: %w", of.namespace, of.name, err)
	}
	return made, nil
}
