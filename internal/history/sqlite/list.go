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

const (
	// maxRead is how many records are read for a page at most, whichever match.
	maxRead = 10_000
	// maxStreams is how many streams are merged. Where there are more, all records are read instead.
	maxStreams = 256
	// maxChunk is how many records of a stream are read at once.
	maxChunk = 500
)

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
	left           int    // how many more may be read
	last           history.Position
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
	streams, err := p.streams(tx)
	if err != nil {
		return err
	}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		next, err := newest(tx, streams)
		if next == nil || err != nil {
			return err
		}
		if !p.behind(next.head()) {
			next.pop()
			continue
		}
		if p.full() {
			p.done = true
			return nil
		}
		p.take(next.pop())
	}
}

// behind says whether a record comes after where the page begins.
func (p *pager) behind(r *kept) bool {
	return p.q.Before == (history.Position{}) || history.PositionOf(&r.Record).Compare(p.q.Before) < 0
}

// full ends the page before another record.
func (p *pager) full() bool {
	if len(p.page.Records) < p.q.Limit && p.left > 0 {
		return false
	}
	p.page.Next = p.last
	return true
}

func (p *pager) take(r *kept) {
	p.left--
	p.last = history.PositionOf(&r.Record)
	if p.q.Matches(&r.Record) {
		p.page.Records = append(p.page.Records, r.Record)
	}
}

// stream is records of which one is newer than the next.
type stream struct {
	text      string
	a, b      int64
	low, high []byte
	chunk     int
	buffer    []kept
	ended     bool
}

func (s *stream) head() *kept { return &s.buffer[0] }

func (s *stream) pop() *kept {
	r := &s.buffer[0]
	s.buffer = s.buffer[1:]
	return r
}

// fill reads more when there is nothing in the buffer: every time twice as much.
func (s *stream) fill(tx *reading) error {
	if len(s.buffer) > 0 || s.ended {
		return nil
	}
	s.buffer = make([]kept, 0, s.chunk)
	err := tx.each(s.text, []any{s.a, s.b, s.low, s.high, s.chunk}, func(rows *sql.Rows) error {
		r, err := scan(rows)
		s.buffer = append(s.buffer, r)
		return err
	})
	if err != nil {
		return err
	}
	s.ended = len(s.buffer) < s.chunk
	s.chunk = min(2*s.chunk, maxChunk)
	if len(s.buffer) == 0 {
		return nil
	}
	last := s.buffer[len(s.buffer)-1]
	s.high = last.ID[:]
	if s.text == selectAll {
		return s.complete(tx, &last)
	}
	return nil
}

// complete adds what else has the ID of the last record, in other namespaces, and puts those of one ID in order.
func (s *stream) complete(tx *reading, last *kept) error {
	err := tx.each(selectSame, []any{last.ID[:], last.space}, func(rows *sql.Rows) error {
		r, err := scan(rows)
		s.buffer = append(s.buffer, r)
		return err
	})
	if err != nil {
		return err
	}
	slices.SortStableFunc(s.buffer, func(a, b kept) int {
		return history.PositionOf(&b.Record).Compare(history.PositionOf(&a.Record))
	})
	return nil
}

// newest is the stream whose head is; nil when all have ended.
func newest(tx *reading, streams []*stream) (*stream, error) {
	var first *stream
	for _, s := range streams {
		if err := s.fill(tx); err != nil {
			return nil, err
		}
		if len(s.buffer) > 0 && (first == nil || history.PositionOf(&s.head().Record).Compare(history.PositionOf(&first.head().Record)) > 0) {
			first = s
		}
	}
	return first, nil
}

// streams are what a page is merged from in one month: those of the users or the relays that the filter chooses, of
// each kind that it does; or all records, where it chooses all.
func (p *pager) streams(tx *reading) ([]*stream, error) {
	relays, chosen, err := p.relays(tx)
	if err != nil || len(relays) == 0 {
		return nil, err
	}
	var streams []*stream
	for _, relay := range relays {
		kinds, all, err := p.kinds(tx, relay)
		if err != nil {
			return nil, err
		}
		chosen = chosen || !all
		text, of := selectRelay, relay
		if p.q.User != "" {
			text, chosen = selectAccount, true
			of, err = p.account(tx, relay)
			if isNone(err) {
				continue
			}
			if err != nil {
				return nil, err
			}
		}
		for _, kind := range kinds {
			streams = append(streams, &stream{text: text, a: of, b: kind, low: p.low, high: p.high})
		}
	}
	if len(streams) > maxStreams || len(streams) > 0 && !chosen {
		streams = []*stream{{text: selectAll, low: p.low, high: p.high}}
	}
	chunk := min(max(4, 2*p.q.Limit/max(1, len(streams))), p.q.Limit+1, maxChunk)
	if !p.q.Indexed() { // many are read for each that matches
		chunk = max(chunk, 64)
	}
	for _, s := range streams {
		s.chunk = chunk
	}
	return streams, nil
}

// relays are those that the filter chooses, and whether it leaves out any.
func (p *pager) relays(tx *reading) (ids []int64, chosen bool, err error) {
	err = tx.each("SELECT id, namespace, server FROM relay", nil, func(rows *sql.Rows) error {
		var (
			id                int64
			namespace, server string
		)
		if err := rows.Scan(&id, &namespace, &server); err != nil {
			return err
		}
		if is(p.q.Namespace, namespace) && is(p.q.Server, server) {
			ids = append(ids, id)
		} else {
			chosen = true
		}
		return nil
	})
	return ids, chosen, err
}

// kinds are those of a relay that the filter chooses, and whether that is all of them.
func (p *pager) kinds(tx *reading, relay int64) (ids []int64, all bool, err error) {
	all = true
	err = tx.each("SELECT id, program, result, reason FROM kind WHERE relay = ?", []any{relay}, func(rows *sql.Rows) error {
		var (
			id                      int64
			program, result, reason string
		)
		if err := rows.Scan(&id, &program, &result, &reason); err != nil {
			return err
		}
		if is(p.q.Program, program) && is(string(p.q.Result), result) && is(p.q.Reason, reason) {
			ids = append(ids, id)
		} else {
			all = false
		}
		return nil
	})
	return ids, all, err
}

// account is that of the filter's user.
func (p *pager) account(tx *reading, relay int64) (id int64, err error) {
	err = tx.row("SELECT id FROM account WHERE relay = ? AND user = ?", []any{relay, p.q.User}, &id)
	return id, err
}

func is(want, got string) bool { return want == "" || want == got }
