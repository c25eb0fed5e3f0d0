package historyserver

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/tegata-dev/tegata/internal/history"
)

var errDatabase = errors.New("the database is away")

// memory is a Store whose answers a test can bend.
type memory struct {
	mu      sync.Mutex
	records map[history.UsageKey]history.Record // by namespace and id
	changes []history.Change
	oldest  uint64 // changes up to here are forgotten
	changed chan struct{}

	err  error         // of every method
	gate chan struct{} // when set, Put waits until it is closed
	// what was asked for
	lost    []time.Time
	expired map[string]time.Time
}

func newMemory() *memory {
	return &memory{records: map[history.UsageKey]history.Record{}, changed: make(chan struct{}), expired: map[string]time.Time{}}
}

func recordKey(r *history.Record) history.UsageKey {
	return history.UsageKey{Namespace: r.Namespace, User: r.ID.String()}
}

func (m *memory) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = err
}

func (m *memory) note(kind history.ChangeType, r history.Record) {
	m.changes = append(m.changes, history.Change{Version: m.version() + 1, Type: kind, Record: r})
	close(m.changed)
	m.changed = make(chan struct{})
}

func (m *memory) version() uint64 { return m.oldest + uint64(len(m.changes)) }

// forgetChanges makes what was changed until now too old to be told.
func (m *memory) forgetChanges() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.oldest, m.changes = m.version(), nil
}

func (m *memory) Put(ctx context.Context, records []history.Record) (history.Stored, error) {
	if m.gate != nil {
		select {
		case <-m.gate:
		case <-ctx.Done():
			return history.Stored{}, ctx.Err()
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var s history.Stored
	for _, r := range records {
		old, ok := m.records[recordKey(&r)]
		kind := history.Added
		if ok {
			kind, r = history.Modified, history.Merge(old, r)
		}
		switch {
		case ok && r == old:
			s.Same++
			continue
		case ok:
			s.Changed++
		default:
			s.New++
		}
		m.records[recordKey(&r)] = r
		m.note(kind, r)
	}
	return s, m.err
}

func (m *memory) Get(_ context.Context, namespace string, id history.ID) (history.Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.records[history.UsageKey{Namespace: namespace, User: id.String()}]
	if !ok {
		return r, cmp.Or(m.err, history.ErrNotFound)
	}
	return r, m.err
}

func (m *memory) List(_ context.Context, q history.Query) (history.Page, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var page history.Page
	for _, r := range m.sorted() {
		if q.Before != (history.Position{}) && history.PositionOf(&r).Compare(q.Before) >= 0 || !q.Matches(&r) {
			continue
		}
		if len(page.Records) == q.Limit {
			page.Next = history.PositionOf(&page.Records[q.Limit-1])
			break
		}
		page.Records = append(page.Records, r)
	}
	return page, m.err
}

func (m *memory) sorted() []history.Record {
	var all []history.Record
	for _, r := range m.records {
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b history.Record) int {
		return history.PositionOf(&b).Compare(history.PositionOf(&a))
	})
	return all
}

func (m *memory) Usages(_ context.Context, q history.UsageQuery) (history.UsagePage, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var page history.UsagePage
	for _, u := range m.usages() {
		key := history.UsageKey{Namespace: u.Namespace, User: u.User, Server: u.Server}
		if compareKeys(key, q.After) <= 0 || q.Namespace != "" && q.Namespace != u.Namespace ||
			q.User != "" && q.User != u.User || q.Server != "" && q.Server != u.Server {
			continue
		}
		if len(page.Usages) == q.Limit {
			last := page.Usages[q.Limit-1]
			page.Next = history.UsageKey{Namespace: last.Namespace, User: last.User, Server: last.Server}
			break
		}
		page.Usages = append(page.Usages, u)
	}
	return page, m.err
}

func compareKeys(a, b history.UsageKey) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.User, b.User), cmp.Compare(a.Server, b.Server))
}

func (m *memory) usages() []history.Usage {
	sums := map[history.UsageKey]*history.Usage{}
	for _, r := range m.sorted() {
		if r.User == "" {
			continue
		}
		key := history.UsageKey{Namespace: r.Namespace, User: r.User, Server: r.Server}
		u := sums[key]
		if u == nil {
			u = &history.Usage{Namespace: r.Namespace, Server: r.Server, User: r.User, Last: r.Start()}
			sums[key] = u
		}
		u.Attempts++
		u.Connected += r.Connected()
		u.First = r.Start()
		if r.Result == history.Failure {
			u.Failures++
		}
	}
	var all []history.Usage
	for _, u := range sums {
		all = append(all, *u)
	}
	slices.SortFunc(all, func(a, b history.Usage) int {
		return compareKeys(history.UsageKey{Namespace: a.Namespace, User: a.User, Server: a.Server}, history.UsageKey{Namespace: b.Namespace, User: b.User, Server: b.Server})
	})
	return all
}

func (m *memory) Servers(context.Context) ([]history.ServerName, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []history.ServerName
	for _, r := range m.records {
		all = append(all, history.ServerName{Namespace: r.Namespace, Name: r.Server})
	}
	slices.SortFunc(all, history.ServerName.Compare)
	return slices.Compact(all), m.err
}

func (m *memory) Version(context.Context) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.version(), m.err
}

func (m *memory) Changes(ctx context.Context, after uint64, limit int) ([]history.Change, error) {
	for {
		m.mu.Lock()
		changed, err, oldest := m.changed, m.err, m.oldest
		var changes []history.Change
		if after >= oldest {
			changes = slices.Clone(m.changes[min(after-oldest, uint64(len(m.changes))):])
		}
		m.mu.Unlock()
		switch {
		case err != nil:
			return nil, err
		case after < oldest:
			return nil, history.ErrTooOld
		case len(changes) > 0:
			return changes[:min(limit, len(changes))], nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (m *memory) CloseLost(_ context.Context, expired time.Time, _ int) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lost = append(m.lost, expired)
	return 0, m.err
}

func (m *memory) Forget(_ context.Context, who history.Person, _ time.Time) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for key, r := range m.records {
		if r.Namespace == who.Namespace && (r.User == who.User || who.UserName != "" && r.UserName == who.UserName) {
			delete(m.records, key)
			m.note(history.Deleted, r)
			n++
		}
	}
	return n, m.err
}

func (m *memory) Expire(_ context.Context, namespace, server string, before time.Time) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.expired[namespace+"/"+server] = before
	return 0, m.err
}

func (m *memory) Ping(context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.err
}

func (m *memory) Close() error { return nil }
