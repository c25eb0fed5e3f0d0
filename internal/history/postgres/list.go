package postgres

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"github.com/tegata-dev/tegata/internal/history"
)

// Get is one record. See history.Store.
func (s *Store) Get(ctx context.Context, namespace string, id history.ID) (history.Record, error) {
	if !storable(namespace) {
		return history.Record{}, history.ErrNotFound
	}
	rows, err := s.pool.Query(ctx, fmt.Sprintf(`SELECT %s FROM %s r WHERE r.id = $1 AND r.ns = (SELECT n.id FROM namespaces n WHERE n.name = $2)`,
		selected, monthOfID(id).table()), uuidOf(id), namespace)
	if err != nil {
		return history.Record{}, noSuch(err)
	}
	found, err := s.collect(ctx, s.pool, rows)
	if err != nil {
		return history.Record{}, noSuch(err)
	}
	if len(found) == 0 {
		return history.Record{}, history.ErrNotFound
	}
	return found[0].Record, nil
}

// noSuch makes of a month that is not there a record that is not.
func noSuch(err error) error {
	if is(err, undefinedTable) {
		return history.ErrNotFound
	}
	return fmt.Errorf("get a record: %w", err)
}

// storable says whether a text can be in the database at all, whose texts are UTF-8 without NUL.
func storable(text string) bool { return utf8.ValidString(text) && !strings.ContainsRune(text, 0) }

// maxRead bounds how many records are read for a page of which not all match.
const maxRead = 4000

// List is a page of records. See history.Store.
func (s *Store) List(ctx context.Context, q history.Query) (history.Page, error) {
	for _, text := range []string{q.Namespace, q.Server, q.User, q.Program, string(q.Result), q.Reason} {
		if !storable(text) {
			return history.Page{}, nil
		}
	}
	if err := s.refresh(ctx); err != nil {
		return history.Page{}, err
	}
	p := &pager{store: s, query: q, limit: min(max(q.Limit, 1), history.MaxPage)}
	p.bounds()
	if err := p.run(ctx); err != nil {
		return history.Page{}, fmt.Errorf("list records: %w", err)
	}
	return p.page(), nil
}

// pager gathers a page, month by month from the newest.
type pager struct {
	store *Store
	query history.Query
	limit int

	from, before history.ID // from ≤ id < before
	found        []row      // one more than the page has when there is a next one
	read         int
	last         history.ID // of those read
	unfinished   bool       // it has read as much as it may
}

// maxID is later than all.
var maxID = history.ID(bytes.Repeat([]byte{0xff}, 16))

func (p *pager) bounds() {
	p.before = maxID
	if p.query.Before != (history.ID{}) {
		p.before = p.query.Before
	}
	if !p.query.Until.IsZero() {
		if until := idAt(p.query.Until); until.Compare(p.before) < 0 {
			p.before = until
		}
	}
	if !p.query.Since.IsZero() {
		p.from = idAt(p.query.Since)
	}
}

// monthRuns are the streams to be merged in a month.
type monthRuns struct {
	month   month
	streams []int32
}

func (p *pager) run(ctx context.Context) error {
	if p.from.Compare(p.before) >= 0 {
		return nil
	}
	months, err := p.months(ctx)
	if err != nil {
		return err
	}
	for _, m := range months {
		if err := p.readMonth(ctx, m); err != nil {
			return err
		}
		if p.full() {
			return nil
		}
	}
	return nil
}

func (p *pager) full() bool { return len(p.found) > p.limit || p.unfinished }

// months are those with records that may match, newest first. Of a user they are known from the user's usage, of
// others from how many records the streams have.
func (p *pager) months(ctx context.Context) ([]monthRuns, error) {
	streams := p.store.registry.matching(&p.query.Filter)
	if len(streams) == 0 {
		return nil, nil
	}
	oldest, newest := monthOf(idTime(p.from)), monthOf(idTime(p.before))
	byServer := map[int32][]int32{}
	for _, s := range streams {
		byServer[s.server] = append(byServer[s.server], s.id)
	}
	if p.query.User == "" {
		rows, err := p.store.pool.Query(ctx, `SELECT month, array_agg(stream) FROM stream_months
			WHERE stream = ANY($1) AND month BETWEEN $2 AND $3 GROUP BY month ORDER BY month DESC`, idsOf(streams), int32(oldest), int32(newest))
		return collectRuns(rows, err, func(ids []int32) []int32 { return ids })
	}
	servers := make([]int32, 0, len(byServer))
	for id := range byServer {
		servers = append(servers, id)
	}
	rows, err := p.store.pool.Query(ctx, `SELECT month, array_agg(server) FROM usage WHERE server = ANY($1) AND relay_user = $2
		AND month BETWEEN $3 AND $4 GROUP BY month ORDER BY month DESC`, servers, p.query.User, int32(oldest), int32(newest))
	return collectRuns(rows, err, func(servers []int32) []int32 {
		var ids []int32
		for _, id := range servers {
			ids = append(ids, byServer[id]...)
		}
		return ids
	})
}

func collectRuns(rows pgx.Rows, err error, streamsOf func([]int32) []int32) ([]monthRuns, error) {
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(from pgx.CollectableRow) (monthRuns, error) {
		var m monthRuns
		var ids []int32
		err := from.Scan(&m.month, &ids)
		m.streams = streamsOf(ids)
		return m, err
	})
}

func idTime(id history.ID) time.Time { return time.UnixMilli(int64(id.Time())) } //nolint:gosec // 48 bits

func idsOf(streams []*stream) []int32 {
	ids := make([]int32, len(streams))
	for i, s := range streams {
		ids[i] = s.id
	}
	slices.Sort(ids)
	return ids
}

// readMonth reads until the page is full or the month is over.
func (p *pager) readMonth(ctx context.Context, m monthRuns) error {
	for !p.full() {
		want := p.limit + 1 - len(p.found)
		if !p.query.Indexed() {
			want = min(maxRead-p.read, history.MaxPage)
		}
		rows, err := p.readSome(ctx, m, want)
		if err != nil {
			return err
		}
		p.take(rows)
		if len(rows) < want {
			return nil
		}
	}
	return nil
}

func (p *pager) take(rows []row) {
	for i := range rows {
		if p.query.Matches(&rows[i].Record) {
			p.found = append(p.found, rows[i])
		}
	}
	p.read += len(rows)
	if len(rows) > 0 {
		p.last = rows[len(rows)-1].ID
		p.before = p.last
	}
	p.unfinished = !p.query.Indexed() && p.read >= maxRead
}

// readSome reads the next records of a month: of each stream as many as the page may take, by index alone, and of
// those the newest.
func (p *pager) readSome(ctx context.Context, m monthRuns, want int) ([]row, error) {
	arguments := []any{m.streams, uuidOf(p.from), uuidOf(p.before), want}
	user := ""
	if p.query.User != "" {
		user = "r.relay_user = $5 AND r.relay_user <> '' AND"
		arguments = append(arguments, p.query.User)
	}
	table := m.month.table()
	rows, err := p.store.pool.Query(ctx, fmt.Sprintf(`SELECT %s FROM (
			SELECT run.id, s.stream FROM unnest($1::int[]) AS s(stream) CROSS JOIN LATERAL (
				SELECT r.id FROM %s r WHERE %s r.stream = s.stream AND r.id >= $2 AND r.id < $3 ORDER BY r.id DESC LIMIT $4) run
			ORDER BY run.id DESC LIMIT $4) page
		JOIN %s r ON r.id = page.id AND r.stream = page.stream ORDER BY r.id DESC`, selected, table, user, table), arguments...)
	if err != nil {
		return nil, err
	}
	found, err := p.store.collect(ctx, p.store.pool, rows)
	if is(err, undefinedTable) { // it was dropped since the months were read
		return nil, nil
	}
	return found, err
}

func (p *pager) page() history.Page {
	var page history.Page
	for i := range p.found[:min(p.limit, len(p.found))] {
		page.Records = append(page.Records, p.found[i].Record)
	}
	switch {
	case len(p.found) > p.limit:
		page.Next = p.found[p.limit-1].ID
	case p.unfinished:
		page.Next = p.last
	}
	return page
}
