package postgres

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tegata-dev/tegata/internal/history"
)

// Get is one record. See history.Store.
func (s *Store) Get(ctx context.Context, namespace string, id history.ID) (history.Record, error) {
	if !storable(namespace) {
		return history.Record{}, history.ErrNotFound
	}
	var found []row
	err := s.reads.with(ctx, func(conn *pgxpool.Conn) error {
		rows, err := conn.Query(ctx, fmt.Sprintf(`SELECT %s FROM %s r WHERE r.id = $1 AND r.ns = (SELECT n.id FROM namespaces n WHERE n.name = $2)`,
			selected, monthOfID(id).table()), uuidOf(id), namespace)
		if err == nil {
			found, err = s.collect(ctx, conn, rows)
		}
		return err
	})
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
	if isMonthMissing(err) {
		return history.ErrNotFound
	}
	return fmt.Errorf("get a record: %w", err)
}

// storable says whether a text can be in the database at all, whose texts are UTF-8 without NUL.
func storable(text string) bool { return utf8.ValidString(text) && !strings.ContainsRune(text, 0) }

// maxRead bounds how many records are read for a page of which not all match.
const maxRead = 2000

// List is a page of records. See history.Store.
func (s *Store) List(ctx context.Context, q history.Query) (history.Page, error) {
	for _, text := range append(wordsOf(&q.Filter), q.Namespace, q.Server, q.User, q.Program, string(q.Result), q.Reason) {
		if !storable(text) {
			return history.Page{}, nil
		}
	}
	page, err := s.listOnce(ctx, q)
	for range maxTries - 1 {
		if !isMonthMissing(err) { // it was dropped since the months were read
			break
		}
		page, err = s.listOnce(ctx, q)
	}
	if err != nil {
		return history.Page{}, fmt.Errorf("list records: %w", err)
	}
	return page, nil
}

// listOnce reads a page from one snapshot. Between two of them a record may change its stream, and then nobody who has
// read the streams before finds it.
func (s *Store) listOnce(ctx context.Context, q history.Query) (history.Page, error) {
	p := &pager{store: s, query: q, limit: min(max(q.Limit, 1), history.MaxPage)}
	p.bounds()
	err := s.reads.with(ctx, func(conn *pgxpool.Conn) error {
		return pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
			p.tx = tx
			if err := s.refresh(ctx, tx); err != nil {
				return err
			}
			return p.run(ctx)
		})
	})
	return p.page(), err
}

// pager gathers a page: most often from the newest month, and from more and more at a time where matches are rare.
type pager struct {
	store *Store
	tx    pgx.Tx
	query history.Query
	limit int

	from, before history.ID // from ≤ id < before
	// behind is where the next records begin. Of those of its ID, only some namespaces' are left.
	behind     history.Position
	found      []row // one more than the page has when there is a next one
	read       int
	last       history.Position // of those read
	unfinished bool             // it has read as much as it may
}

// maxID is later than all.
var maxID = history.ID(bytes.Repeat([]byte{0xff}, 16))

func (p *pager) bounds() {
	p.before = maxID
	if p.query.Before != (history.Position{}) {
		p.goOn(p.query.Before)
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

// goOn has what is read next begin at a place.
func (p *pager) goOn(from history.Position) {
	p.behind, p.before = from, from.ID
	if from.Namespace != "" {
		p.before = nextID(from.ID)
	}
}

// beforeOf is where the records of a namespace end that are left.
func (p *pager) beforeOf(namespace string) history.ID {
	if p.before == nextID(p.behind.ID) && namespace >= p.behind.Namespace {
		return p.behind.ID
	}
	return p.before
}

// nextID is the smallest that is larger; maxID has none.
func nextID(id history.ID) history.ID {
	if id == maxID {
		return id
	}
	for i := len(id) - 1; ; i-- {
		id[i]++
		if id[i] != 0 {
			return id
		}
	}
}

// run is a stream to be merged, in a month. records is how many it has there, zero when that is not known.
type run struct {
	stream  int32
	month   month
	records int64
}

func (p *pager) run(ctx context.Context) error {
	if p.from.Compare(p.before) >= 0 {
		return nil
	}
	months, err := p.months(ctx)
	if err != nil {
		return err
	}
	for step := 1; len(months) > 0 && !p.full(); step *= 2 {
		some := months[:min(step, len(months))]
		months = months[len(some):]
		if err := p.readRuns(ctx, slices.Concat(some...)); err != nil {
			return err
		}
	}
	return nil
}

func (p *pager) full() bool { return len(p.found) > p.limit || p.unfinished }

// months are the runs of each month with records that may match, newest first. Of a user they are known from the
// user's usage, of others from how many records the streams have.
func (p *pager) months(ctx context.Context) ([][]run, error) {
	streams := p.store.registry.matching(&p.query.Filter)
	if len(streams) == 0 {
		return nil, nil
	}
	oldest, newest := int32(monthOf(idTime(p.from))), int32(monthOf(idTime(p.before)))
	if p.query.User == "" {
		rows, err := p.tx.Query(ctx, `SELECT month, array_agg(stream), array_agg(records) FROM stream_months
			WHERE stream = ANY($1) AND month BETWEEN $2 AND $3 GROUP BY month ORDER BY month DESC`, idsOf(streams), oldest, newest)
		return collectRuns(rows, err, func(id int32, records int64) []run { return []run{{stream: id, records: records}} })
	}
	byServer := map[int32][]run{}
	for _, s := range streams {
		byServer[s.server] = append(byServer[s.server], run{stream: s.id})
	}
	rows, err := p.tx.Query(ctx, `SELECT month, array_agg(server), array_agg(attempts) FROM usage WHERE server = ANY($1) AND relay_user = $2
		AND month BETWEEN $3 AND $4 GROUP BY month ORDER BY month DESC`, slices.Collect(maps.Keys(byServer)), p.query.User, oldest, newest)
	return collectRuns(rows, err, func(server int32, _ int64) []run { return byServer[server] })
}

// collectRuns reads months with ids and how many records each has.
func collectRuns(rows pgx.Rows, err error, runsOf func(id int32, records int64) []run) ([][]run, error) {
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(from pgx.CollectableRow) ([]run, error) {
		var m month
		var ids []int32
		var records []int64
		if err := from.Scan(&m, &ids, &records); err != nil {
			return nil, err
		}
		var runs []run
		for i, id := range ids {
			for _, r := range runsOf(id, records[i]) {
				r.month = m
				runs = append(runs, r)
			}
		}
		return runs, nil
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

// readRuns reads until the page is full or the runs are over.
func (p *pager) readRuns(ctx context.Context, runs []run) error {
	for !p.full() {
		want := p.limit + 1 - len(p.found)
		if !p.query.Indexed() {
			want = min(maxRead-p.read, history.MaxPage)
		}
		rows, n, cut, err := p.readSome(ctx, runs, want)
		if err != nil {
			return err
		}
		p.take(rows, n)
		if n < want && !cut {
			return nil
		}
	}
	return nil
}

// take takes those that match of n records that were read. The last of these is among the rows.
func (p *pager) take(rows []row, n int) {
	for i := range rows {
		if p.query.Matches(&rows[i].Record) {
			p.found = append(p.found, rows[i])
		}
	}
	p.read += n
	if len(rows) > 0 {
		p.last = history.PositionOf(&rows[len(rows)-1].Record)
		p.goOn(p.last)
	}
	p.unfinished = !p.query.Indexed() && p.read >= maxRead
}

// readSome reads the next records of some runs: a few of each by index alone, and of those the newest, as far back as
// it is certain that no run has more. found are those that match and the last one, n is how many were read. cut says
// that a run may have more than was read, which limits gives it.
func (p *pager) readSome(ctx context.Context, runs []run, want int) (found []row, n int, cut bool, err error) {
	streams, limits, ranks := make([]int32, len(runs)), limitsOf(runs, want), p.ranksOf(runs)
	froms, befores := make([][16]byte, len(runs)), make([][16]byte, len(runs))
	oneMonth := true
	for i, r := range runs {
		end := idAt((r.month + 1).begin())
		if before := p.beforeOf(p.namespaceOf(r)); before.Compare(end) < 0 {
			end = before
		}
		streams[i], froms[i], befores[i] = r.stream, uuidOf(idAt(r.month.begin())), uuidOf(end)
		oneMonth = oneMonth && r.month == runs[0].month
	}
	table := "records" // whose partitions are chosen while it runs
	if oneMonth {
		table = runs[0].month.table()
	}
	arguments := []any{streams, limits, froms, befores, uuidOf(p.from), ranks, want}
	user := ""
	if p.query.User != "" {
		arguments = append(arguments, p.query.User)
		user = fmt.Sprintf("r.relay_user = $%d AND r.relay_user <> '' AND", len(arguments))
	}
	match := ""
	if !p.query.Indexed() {
		match = "WHERE page.n = (SELECT count(*) FROM page) OR " + matching(len(arguments)+1)
		for _, word := range wordsOf(&p.query.Filter) {
			arguments = append(arguments, word)
		}
	}
	rows, err := p.tx.Query(ctx, fmt.Sprintf(`WITH read AS MATERIALIZED (
			SELECT r.id, run.stream, run.rank, r.n = run.most AS last
			FROM unnest($1::int[], $2::int[], $3::uuid[], $4::uuid[], $6::int[]) AS run(stream, most, lower, upper, rank)
			CROSS JOIN LATERAL (SELECT r.id, row_number() OVER (ORDER BY r.id DESC) AS n FROM %s r
				WHERE %s r.stream = run.stream AND r.id >= greatest(run.lower, $5) AND r.id < run.upper ORDER BY r.id DESC LIMIT run.most) r),
		cut AS MATERIALIZED (SELECT id FROM read WHERE last ORDER BY id DESC LIMIT 1),
		page AS MATERIALIZED (SELECT id, stream, rank, row_number() OVER (ORDER BY id DESC, rank DESC) AS n
			FROM read WHERE id >= coalesce((SELECT id FROM cut), $5) ORDER BY id DESC, rank DESC LIMIT $7)
		SELECT %s, EXISTS (SELECT FROM cut), (SELECT count(*)::int FROM page) FROM page JOIN %s r ON r.id = page.id AND r.stream = page.stream
		%s ORDER BY page.n`,
		table, user, selected, table, match), arguments...)
	if err == nil {
		found, err = p.store.collect(ctx, p.tx, rows, &cut, &n)
	}
	return found, n, cut, err
}

// wordsOf are those of a filter that no index knows, in the order of wordColumns.
func wordsOf(f *history.Filter) []string {
	return []string{f.UserName, f.Viewer, f.Slot, f.Listener, f.SourceAddress, f.MACAddress, f.Destination, f.DeviceDigest}
}

var wordColumns = []string{"user_name", "viewer", "slot", "listener", "source_address", "mac_address", "destination", "device_digest"}

// matching compares the columns with words from a parameter on. No word chooses all.
func matching(first int) string {
	var all []string
	for i, column := range wordColumns {
		all = append(all, fmt.Sprintf("($%d::text = '' OR r.%s = $%d)", first+i, column, first+i))
	}
	return "(" + strings.Join(all, " AND ") + ")"
}

func (p *pager) namespaceOf(r run) string { return p.store.registry.stream(r.stream).namespace }

// ranksOf are the places of the runs' namespaces in their order, by which records of one ID are ordered.
func (p *pager) ranksOf(runs []run) []int32 {
	place := map[string]int32{}
	for _, r := range runs {
		place[p.namespaceOf(r)] = 0
	}
	for i, namespace := range slices.Sorted(maps.Keys(place)) {
		place[namespace] = int32(i) //nolint:gosec // a few
	}
	ranks := make([]int32, len(runs))
	for i, r := range runs {
		ranks[i] = place[p.namespaceOf(r)]
	}
	return ranks
}

// limitsOf is how many records of each run are read at first: some more than its share where shares are known, for a
// namespace may have hundreds of runs, and all that the page may need where they are not.
func limitsOf(runs []run, want int) []int32 {
	all := int64(0)
	for _, r := range runs {
		all += r.records
	}
	limits := make([]int32, len(runs))
	for i, r := range runs {
		most := int64(want)
		if all > 0 {
			most = min(most, 4+2*most*r.records/all)
		}
		limits[i] = int32(most) //nolint:gosec // at most MaxPage + 1
	}
	return limits
}

func (p *pager) page() history.Page {
	var page history.Page
	for i := range p.found[:min(p.limit, len(p.found))] {
		page.Records = append(page.Records, p.found[i].Record)
	}
	switch {
	case len(p.found) > p.limit:
		page.Next = history.PositionOf(&p.found[p.limit-1].Record)
	case p.unfinished:
		page.Next = p.last
	}
	return page
}
