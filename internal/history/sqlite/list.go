package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tegata-dev/tegata/internal/history"
)

// maxRead is how many records are looked at for a page at most where no index finds those that match.
const maxRead = 2000

// Get is one record.
func (s *Store) Get(ctx context.Context, namespace string, id history.ID) (history.Record, error) {
	var found *kept
	err := s.with(ctx, monthOf(id), func(m *month) error {
		r, err := m.get(ctx, namespace, id)
		if err == nil {
			found = &r
		} else if isNone(err) {
			err = nil
		}
		return err
	})
	switch {
	case err != nil:
		return history.Record{}, fmt.Errorf("get record %s: %w", id, err)
	case found == nil:
		return history.Record{}, history.ErrNotFound
	}
	return found.Record, nil
}

func (m *month) get(ctx context.Context, namespace string, id history.ID) (r kept, err error) {
	err = m.read(ctx, func(tx *reading) error {
		var space int64
		if err := tx.row("SELECT space FROM relay WHERE namespace = ? LIMIT 1", []any{namespace}, &space); err != nil {
			return err
		}
		stmt, err := tx.of(selectOne)
		if err != nil {
			return err
		}
		r, err = scan(stmt.QueryRowContext(context.Background(), id[:], space))
		return err
	})
	return r, err
}

// Servers are those of which there may be records: a month keeps the names of those whose records were erased.
func (s *Store) Servers(ctx context.Context) ([]history.ServerName, error) {
	found := map[history.ServerName]bool{}
	for _, key := range s.allMonths() {
		err := s.with(ctx, key, func(m *month) error {
			return m.read(ctx, func(tx *reading) error {
				return tx.each("SELECT namespace, server FROM relay", nil, func(rows *sql.Rows) error {
					var name history.ServerName
					err := rows.Scan(&name.Namespace, &name.Name)
					found[name] = true
					return err
				})
			})
		})
		if err != nil {
			return nil, fmt.Errorf("list servers: %w", err)
		}
	}
	return slices.SortedFunc(maps.Keys(found), history.ServerName.Compare), nil
}

// List is a page of records, month by month, newest first.
func (s *Store) List(ctx context.Context, q history.Query) (history.Page, error) {
	if q.Limit < 1 || q.Limit > history.MaxPage {
		return history.Page{}, fmt.Errorf("list records: a page has 1 to %d of them, not %d", history.MaxPage, q.Limit)
	}
	p := &pager{q: q, left: s.maxRead}
	months := s.allMonths()
	if !p.bound(months) {
		return history.Page{}, nil
	}
	for _, key := range slices.Backward(months) {
		if key < p.oldest || key > p.newest {
			continue
		}
		err := s.with(ctx, key, func(m *month) error {
			return m.read(ctx, func(tx *reading) error { return p.read(ctx, tx) })
		})
		if err != nil {
			return history.Page{}, fmt.Errorf("list records: %w", err)
		}
		if p.done {
			break
		}
	}
	return p.page, nil
}

// pager makes a page.
type pager struct {
	q              history.Query
	oldest, newest monthKey
	low, high      []byte // the page's records are from low, and before high
	left           int    // how many more may be looked at
	page           history.Page
	done           bool
}

// bound is false when no record can be in the page.
func (p *pager) bound(months []monthKey) bool {
	if len(months) == 0 {
		return false
	}
	p.oldest, p.newest = months[0], months[len(months)-1]
	var low, high history.ID
	p.low, p.high = low[:], append(slices.Repeat([]byte{0xff}, len(high)), 0) // after every ID
	if since := p.q.Since; !since.IsZero() {
		if low.SetTime(uint64(ceilMillis(since))) != nil { //nolint:gosec // not negative
			return false
		}
		p.oldest = max(p.oldest, monthOf(low))
	}
	if until := p.q.Until; !until.IsZero() {
		if until.Before(time.Unix(0, 0)) {
			return false
		}
		if high.SetTime(uint64(ceilMillis(until))) == nil { //nolint:gosec // not negative
			p.high = high[:]
			p.newest = min(p.newest, monthAt(time.UnixMilli(ceilMillis(until)-1))) // nothing of a month that begins then
		}
	}
	if before := p.q.Before.ID; p.q.Before != (history.Position{}) {
		if len(p.high) > len(before) || before.Compare(history.ID(p.high)) < 0 {
			p.high = before[:]
			if p.q.Before.Namespace != "" { // what else has this ID is read, and left out where it was in a page
				p.high = append(p.high, 0)
			}
		}
		p.newest = min(p.newest, monthOf(before))
	}
	return true
}

// read goes on with the page in one month.
func (p *pager) read(ctx context.Context, tx *reading) error {
	m, err := p.merged(tx)
	if m == nil || err != nil {
		return err
	}
	for !p.done {
		if err := ctx.Err(); err != nil {
			return err
		}
		low, looked := m.low, 0
		if !m.indexed {
			if low, looked, err = m.reach(tx, p.left); looked == 0 || err != nil {
				return err
			}
		}
		most := p.q.Limit + 1 - len(p.page.Records)
		some, err := p.matching(tx, m, low, most)
		if err != nil {
			return err
		}
		p.takeAll(some)
		switch {
		case len(some) >= most: // there may be more of them
			m.high = some[len(some)-1].ID[:]
		case m.indexed:
			return nil
		default:
			p.looked(looked, low)
			m.high = low
		}
	}
	return nil
}

// matching are the month's next records that match, from low on. So many are not all; they are then all of the last
// one's ID and of later ones.
func (p *pager) matching(tx *reading, m *merged, low []byte, most int) ([]kept, error) {
	some := make([]kept, 0, most)
	add := func(rows *sql.Rows) error {
		r, err := scan(rows)
		if p.q.Matches(&r.Record) {
			some = append(some, r)
		}
		return err
	}
	args := append([]any{low, m.high, -1, most}, p.words()...)
	if m.indexed {
		args[2] = most
	}
	if err := tx.each(m.page, append(args, m.arms...), add); err != nil {
		return nil, err
	}
	if len(some) == most && p.q.Namespace == "" { // an ID is one of its namespace
		last := some[most-1]
		if err := tx.each(selectSame, []any{last.ID[:], last.space}, add); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(some, func(a, b kept) int {
		return history.PositionOf(&b.Record).Compare(history.PositionOf(&a.Record))
	})
	return some, nil
}

// takeAll takes records until the page is full, and ends it when there is another one.
func (p *pager) takeAll(some []kept) {
	for i := range some {
		r := &some[i].Record
		switch {
		case p.q.Before != (history.Position{}) && history.PositionOf(r).Compare(p.q.Before) >= 0: // before the page
		case len(p.page.Records) == p.q.Limit:
			p.page.Next, p.done = history.PositionOf(&p.page.Records[p.q.Limit-1]), true
			return
		default:
			p.page.Records = append(p.page.Records, *r)
		}
	}
}

// looked notes that all was looked at from an ID on, and ends the page when that was as much as it may.
func (p *pager) looked(n int, low []byte) {
	if p.left -= n; p.left <= 0 && !p.done {
		p.page.Next, p.done = history.Position{ID: history.ID(low)}, true
	}
}
