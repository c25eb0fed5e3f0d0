package postgres

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/jackc/pgx/v5"

	"github.com/tegata-dev/tegata/internal/history"
)

// tally is by how much a transaction changes what is kept beside the records.
type tally struct {
	usage  map[usageKey]*usageDelta
	months map[streamMonth]int64
	opened []*row
	closed []*row
	// shrunk: a stream has lost a record, maybe its last one of the month.
	shrunk bool
}

type usageKey struct {
	server int32
	user   string
	month  month
}

type usageDelta struct {
	connected, attempts, failures int64
	first, last                   history.Millis
	// removed: first and last may be of a record that is not the user's any more.
	removed bool
}

type streamMonth struct {
	stream int32
	month  month
}

func newTally() *tally {
	return &tally{usage: map[usageKey]*usageDelta{}, months: map[streamMonth]int64{}}
}

// change counts that old has become now. Either is nil when there is none.
func (t *tally) change(old, now *row) {
	if old == nil || now == nil || usageKeyOf(old) != usageKeyOf(now) {
		if old != nil {
			t.count(old, -1).removed = true
		}
		if now != nil {
			d := t.count(now, 1)
			d.first, d.last = min(d.first, now.Start()), max(d.last, now.Start())
		}
	} else {
		t.count(old, -1)
		t.count(now, 1)
	}
	if old != nil {
		t.months[streamMonth{old.stream.id, old.month()}]--
		t.shrunk = t.shrunk || now == nil || now.stream != old.stream
	}
	if now != nil {
		t.months[streamMonth{now.stream.id, now.month()}]++
	}
	wasOpen, isOpen := old != nil && old.Open(), now != nil && now.Open()
	switch {
	case isOpen && (!wasOpen || old.Expire != now.Expire):
		t.opened = append(t.opened, now)
	case wasOpen && !isOpen:
		t.closed = append(t.closed, old)
	}
}

func usageKeyOf(r *row) usageKey { return usageKey{r.stream.server, r.User, r.month()} }

// count adds a record, or takes it away.
func (t *tally) count(r *row, sign int64) *usageDelta {
	k := usageKeyOf(r)
	d := t.usage[k]
	if d == nil {
		d = &usageDelta{first: math.MaxInt64}
		t.usage[k] = d
	}
	d.connected += sign * r.Connected().Milliseconds()
	d.attempts += sign
	if r.Result == history.Failure {
		d.failures += sign
	}
	return d
}

func (d *usageDelta) isZero() bool {
	return *d == usageDelta{first: math.MaxInt64}
}

const (
	addUsage = `INSERT INTO usage AS u (server, relay_user, month, connected, attempts, failures, first, last)
		SELECT * FROM unnest($1::int[], $2::text[], $3::int[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[])
		ON CONFLICT (server, relay_user, month) DO UPDATE SET connected = u.connected + excluded.connected,
		attempts = u.attempts + excluded.attempts, failures = u.failures + excluded.failures,
		first = least(u.first, excluded.first), last = greatest(u.last, excluded.last)`
	addMonths = `INSERT INTO stream_months AS m (stream, month, records) SELECT * FROM unnest($1::int[], $2::int[], $3::bigint[])
		ON CONFLICT (stream, month) DO UPDATE SET records = m.records + excluded.records`
	addOpen = `INSERT INTO open_records (id, ns, server, expire) SELECT * FROM unnest($1::uuid[], $2::int[], $3::int[], $4::bigint[])
		ON CONFLICT (id, ns) DO UPDATE SET expire = excluded.expire`
	removeOpen = `DELETE FROM open_records o USING unnest($1::uuid[], $2::int[]) AS gone(id, ns) WHERE o.id = gone.id AND o.ns = gone.ns`
)

// queue adds the statements to a batch.
func (t *tally) queue(batch *pgx.Batch) {
	t.queueUsage(batch)
	var streams, months []int32
	var records []int64
	for k, n := range t.months {
		if n != 0 {
			streams, months, records = append(streams, k.stream), append(months, int32(k.month)), append(records, n)
		}
	}
	if len(streams) > 0 {
		batch.Queue(addMonths, streams, months, records)
	}
	if len(t.opened) > 0 {
		ids, namespaces := keysOf(t.opened)
		servers, expires := make([]int32, len(ids)), make([]int64, len(ids))
		for i, r := range t.opened {
			servers[i], expires[i] = r.stream.server, int64(r.Expire)
		}
		batch.Queue(addOpen, ids, namespaces, servers, expires)
	}
	if len(t.closed) > 0 {
		ids, namespaces := keysOf(t.closed)
		batch.Queue(removeOpen, ids, namespaces)
	}
}

func keysOf(rows []*row) (ids [][16]byte, namespaces []int32) {
	for _, r := range rows {
		ids, namespaces = append(ids, uuidOf(r.ID)), append(namespaces, r.stream.ns)
	}
	return ids, namespaces
}

func (t *tally) queueUsage(batch *pgx.Batch) {
	var servers, months []int32
	var users []string
	var connected, attempts, failures, first, last []int64
	for k, d := range t.usage {
		if k.user == "" || d.isZero() { // what is nobody's is not used by anybody
			continue
		}
		servers, users, months = append(servers, k.server), append(users, k.user), append(months, int32(k.month))
		connected, attempts, failures = append(connected, d.connected), append(attempts, d.attempts), append(failures, d.failures)
		first, last = append(first, int64(d.first)), append(last, int64(d.last))
	}
	if len(servers) > 0 {
		batch.Queue(addUsage, servers, users, months, connected, attempts, failures, first, last)
	}
}

// repair mends what cannot be told by a difference: the first and last attempt of those who have lost one, and rows
// that say nothing any more.
func (t *tally) repair(ctx context.Context, tx pgx.Tx, s *Store) error {
	for k, d := range t.usage {
		if !d.removed || k.user == "" {
			continue
		}
		first, err := s.extreme(ctx, tx, k, "ASC")
		if errors.Is(err, pgx.ErrNoRows) {
			_, err = tx.Exec(ctx, "DELETE FROM usage WHERE server = $1 AND relay_user = $2 AND month = $3", k.server, k.user, int32(k.month))
			if err != nil {
				return fmt.Errorf("remove a usage: %w", err)
			}
			continue
		}
		if err != nil {
			return err
		}
		last, err := s.extreme(ctx, tx, k, "DESC")
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "UPDATE usage SET first = $4, last = $5 WHERE server = $1 AND relay_user = $2 AND month = $3",
			k.server, k.user, int32(k.month), int64(first), int64(last)); err != nil {
			return fmt.Errorf("mend a usage: %w", err)
		}
	}
	if t.shrunk {
		if _, err := tx.Exec(ctx, "DELETE FROM stream_months WHERE records <= 0"); err != nil {
			return fmt.Errorf("remove empty months: %w", err)
		}
	}
	return nil
}

// extreme is when the first or the last attempt of a user in a month began. Its error is pgx.ErrNoRows when there is
// none.
func (s *Store) extreme(ctx context.Context, tx pgx.Tx, k usageKey, order string) (history.Millis, error) {
	var id history.ID
	err := tx.QueryRow(ctx, fmt.Sprintf(`SELECT found.id FROM streams s CROSS JOIN LATERAL (
		SELECT r.id FROM %s r WHERE r.relay_user = $2 AND r.relay_user <> '' AND r.stream = s.id ORDER BY r.id %s LIMIT 1) found
		WHERE s.server = $1 ORDER BY found.id %s LIMIT 1`, k.month.table(), order, order), k.server, k.user).Scan((*[16]byte)(&id))
	return history.Millis(id.Time()), err //nolint:gosec // 48 bits
}
