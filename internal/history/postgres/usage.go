package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tegata-dev/tegata/internal/history"
)

// Usages is a page of what users have used. See history.Store.
func (s *Store) Usages(ctx context.Context, q history.UsageQuery) (history.UsagePage, error) {
	for _, text := range []string{q.Namespace, q.Server, q.User, q.After.Namespace, q.After.User, q.After.Server} {
		if !storable(text) {
			return history.UsagePage{}, nil
		}
	}
	limit := min(max(q.Limit, 1), history.MaxPage)
	var found []history.Usage
	err := s.reads.with(ctx, func(conn *pgxpool.Conn) (err error) {
		found, err = usages(ctx, conn, q, limit+1)
		return err
	})
	if err != nil {
		return history.UsagePage{}, err
	}
	if len(found) <= limit {
		return history.UsagePage{Usages: found}, nil
	}
	last := found[limit-1]
	return history.UsagePage{Usages: found[:limit], Next: history.UsageKey{Namespace: last.Namespace, User: last.User, Server: last.Server}}, nil
}

// usages are the next ones, at most so many.
func usages(ctx context.Context, conn *pgxpool.Conn, q history.UsageQuery, want int) ([]history.Usage, error) {
	namespaces, err := serversByNamespace(ctx, conn, q)
	if err != nil {
		return nil, err
	}
	var found []history.Usage
	for _, n := range namespaces {
		some, err := usagesOf(ctx, conn, n, q, want-len(found))
		if err != nil {
			return nil, fmt.Errorf("list usages: %w", err)
		}
		if found = append(found, some...); len(found) >= want {
			break
		}
	}
	return found, nil
}

// namespaceServers are the servers of a namespace that were chosen.
type namespaceServers struct {
	name    string
	ids     []int32
	servers []string
}

func serversByNamespace(ctx context.Context, conn *pgxpool.Conn, q history.UsageQuery) ([]namespaceServers, error) {
	rows, err := conn.Query(ctx, `SELECT n.name, array_agg(v.id ORDER BY v.name), array_agg(v.name ORDER BY v.name)
		FROM namespaces n JOIN servers v ON v.ns = n.id WHERE ($1 = '' OR n.name = $1) AND ($2 = '' OR v.name = $2) AND n.name >= $3
		GROUP BY n.name ORDER BY n.name`, q.Namespace, q.Server, q.After.Namespace)
	if err != nil {
		return nil, fmt.Errorf("read servers: %w", err)
	}
	found, err := pgx.CollectRows(rows, func(from pgx.CollectableRow) (namespaceServers, error) {
		var n namespaceServers
		return n, from.Scan(&n.name, &n.ids, &n.servers)
	})
	if err != nil {
		return nil, fmt.Errorf("read servers: %w", err)
	}
	return found, nil
}

// usagesOf are the next usages of a namespace. Each server's are read in the order of users, and merged.
func usagesOf(ctx context.Context, conn *pgxpool.Conn, n namespaceServers, q history.UsageQuery, want int) ([]history.Usage, error) {
	after := history.UsageKey{}
	if n.name == q.After.Namespace {
		after = q.After
	}
	which := "u.relay_user >= $3"
	if q.User != "" {
		which = "u.relay_user = $6 AND u.relay_user >= $3"
	}
	arguments := []any{n.ids, n.servers, after.User, after.Server, want}
	if q.User != "" {
		arguments = append(arguments, q.User)
	}
	rows, err := conn.Query(ctx, fmt.Sprintf(`SELECT page.* FROM unnest($1::int[], $2::text[]) AS v(id, name) CROSS JOIN LATERAL (
			SELECT v.name AS server, u.relay_user, sum(u.connected)::bigint, sum(u.attempts)::bigint, sum(u.failures)::bigint, min(u.first), max(u.last)
			FROM usage u WHERE u.server = v.id AND %s AND (u.relay_user > $3 OR v.name COLLATE "C" > $4)
			GROUP BY u.relay_user ORDER BY u.relay_user LIMIT $5) page
		ORDER BY page.relay_user, page.server COLLATE "C" LIMIT $5`, which), arguments...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(from pgx.CollectableRow) (history.Usage, error) {
		u := history.Usage{Namespace: n.name}
		var ms, attempts, failures int64
		err := from.Scan(&u.Server, &u.User, &ms, &attempts, &failures, &u.First, &u.Last)
		u.Connected = history.TimeOf(ms)
		u.Attempts, u.Failures = uint64(attempts), uint64(failures) //nolint:gosec // not negative
		return u, err
	})
}
