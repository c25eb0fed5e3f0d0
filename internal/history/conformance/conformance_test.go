package conformance_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tegata-dev/tegata/internal/history"
	"github.com/tegata-dev/tegata/internal/history/conformance"
)

// TestRun has the suite pass a store that is plainly right, though slow and forgetful.
func TestRun(t *testing.T) {
	conformance.Run(t, func(*testing.T) history.Store {
		return &memory{
			records: map[key]history.Record{}, expired: map[[2]string]time.Time{}, forgotten: map[history.Person]time.Time{},
			changed: make(chan struct{}), version: 100,
		}
	})
}

type key struct {
	namespace string
	id        history.ID
}

// memory is a store of what is lost with the process.
type memory struct {
	mu        sync.Mutex
	closed    bool
	records   map[key]history.Record
	expired   map[[2]string]time.Time
	forgotten map[history.Person]time.Time
	version   uint64
	changes   []history.Change
	changed   chan struct{}
}

var errClosed = errors.New("store is closed")

func (m *memory) lock() error {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return errClosed
	}
	return nil
}

func (m *memory) change(t history.ChangeType, r history.Record) {
	m.version++
	m.changes = append(m.changes, history.Change{Version: m.version, Type: t, Record: r})
	m.changes = m.changes[max(0, len(m.changes)-2000):]
	close(m.changed)
	m.changed = make(chan struct{})
}

func (m *memory) Put(_ context.Context, records []history.Record) (history.Stored, error) {
	if err := m.lock(); err != nil {
		return history.Stored{}, err
	}
	defer m.mu.Unlock()
	var stored history.Stored
	for _, r := range records {
		k := key{r.Namespace, r.ID}
		kept, there := m.records[k]
		if m.leftOut(&r) || there && (kept.Server != r.Server || history.Contradict(&kept, &r)) {
			stored.Dropped++
			continue
		}
		if !there {
			stored.New++
			m.records[k] = r
			m.change(history.Added, r)
			continue
		}
		merged := history.Merge(kept, r)
		if merged == kept {
			stored.Same++
			continue
		}
		stored.Changed++
		m.records[k] = merged
		m.change(history.Modified, merged)
	}
	return stored, nil
}

func (m *memory) leftOut(r *history.Record) bool {
	start := r.Start().Time()
	for who, at := range m.forgotten {
		if is(who, r) && start.Before(at) {
			return true
		}
	}
	return start.Before(m.expired[[2]string{r.Namespace, r.Server}])
}

func is(who history.Person, r *history.Record) bool {
	return who.Namespace == r.Namespace &&
		(who.User != "" && who.User == r.User || who.UserName != "" && who.UserName == r.UserName)
}

func (m *memory) Get(_ context.Context, namespace string, id history.ID) (history.Record, error) {
	if err := m.lock(); err != nil {
		return history.Record{}, err
	}
	defer m.mu.Unlock()
	r, ok := m.records[key{namespace, id}]
	if !ok {
		return history.Record{}, history.ErrNotFound
	}
	return r, nil
}

func (m *memory) List(_ context.Context, q history.Query) (history.Page, error) {
	if err := m.lock(); err != nil {
		return history.Page{}, err
	}
	defer m.mu.Unlock()
	var page history.Page
	for _, r := range m.records {
		if q.Matches(&r) && (q.Before == history.Position{} || history.PositionOf(&r).Compare(q.Before) < 0) {
			page.Records = append(page.Records, r)
		}
	}
	slices.SortFunc(page.Records, func(a, b history.Record) int {
		return history.PositionOf(&b).Compare(history.PositionOf(&a))
	})
	if len(page.Records) > q.Limit {
		page.Records = page.Records[:q.Limit]
		page.Next = history.PositionOf(&page.Records[q.Limit-1])
	}
	return page, nil
}

func (m *memory) Usages(_ context.Context, q history.UsageQuery) (history.UsagePage, error) {
	if err := m.lock(); err != nil {
		return history.UsagePage{}, err
	}
	defer m.mu.Unlock()
	sums := map[history.UsageKey]history.Usage{}
	f := history.Filter{Namespace: q.Namespace, Server: q.Server, User: q.User}
	for _, r := range m.records {
		k := history.UsageKey{Namespace: r.Namespace, User: r.User, Server: r.Server}
		if r.User == "" || !f.Matches(&r) || compare(k, q.After) <= 0 {
			continue
		}
		u, ok := sums[k]
		if !ok {
			u = history.Usage{Namespace: r.Namespace, Server: r.Server, User: r.User, First: r.Start()}
		}
		u.Attempts++
		if r.Result == history.Failure {
			u.Failures++
		}
		u.Connected = history.AddTime(u.Connected, r.Connected())
		u.First, u.Last = min(u.First, r.Start()), max(u.Last, r.Start())
		sums[k] = u
	}
	var page history.UsagePage
	for _, u := range sums {
		page.Usages = append(page.Usages, u)
	}
	slices.SortFunc(page.Usages, func(a, b history.Usage) int { return compare(usageKey(a), usageKey(b)) })
	if len(page.Usages) > q.Limit {
		page.Usages = page.Usages[:q.Limit]
		page.Next = usageKey(page.Usages[q.Limit-1])
	}
	return page, nil
}

func usageKey(u history.Usage) history.UsageKey {
	return history.UsageKey{Namespace: u.Namespace, User: u.User, Server: u.Server}
}

func compare(a, b history.UsageKey) int {
	return slices.Compare([]string{a.Namespace, a.User, a.Server}, []string{b.Namespace, b.User, b.Server})
}

func (m *memory) Servers(context.Context) ([]history.ServerName, error) {
	if err := m.lock(); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	var all []history.ServerName
	for _, r := range m.records {
		all = append(all, history.ServerName{Namespace: r.Namespace, Name: r.Server})
	}
	slices.SortFunc(all, history.ServerName.Compare)
	return slices.Compact(all), nil
}

func (m *memory) Version(context.Context) (uint64, error) {
	if err := m.lock(); err != nil {
		return 0, err
	}
	defer m.mu.Unlock()
	return m.version, nil
}

func (m *memory) Changes(ctx context.Context, after uint64, limit int) ([]history.Change, error) {
	for {
		if err := m.lock(); err != nil {
			return nil, err
		}
		changed := m.changed
		oldest := m.version - uint64(len(m.changes))
		skip := int(after - min(after, oldest)) //nolint:gosec // a few thousand
		changes := slices.Clone(m.changes[min(skip, len(m.changes)):])
		m.mu.Unlock()
		if after < oldest {
			return nil, history.ErrTooOld
		}
		if len(changes) > 0 {
			return changes[:min(limit, len(changes))], nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-changed:
		}
	}
}

func (m *memory) CloseLost(_ context.Context, expired time.Time, limit int) (int, error) {
	if err := m.lock(); err != nil {
		return 0, err
	}
	defer m.mu.Unlock()
	n := 0
	for k, r := range m.records {
		if n < limit && r.Open() && r.Expire.Time().Before(expired) {
			r.End, r.EndTime = history.Lost, max(r.Start(), r.LastSeen)
			m.records[k] = r
			m.change(history.Modified, r)
			n++
		}
	}
	return n, nil
}

func (m *memory) remove(of func(*history.Record) bool) int {
	n := 0
	for k, r := range m.records {
		if of(&r) {
			delete(m.records, k)
			m.change(history.Deleted, r)
			n++
		}
	}
	return n
}

func (m *memory) Forget(_ context.Context, who history.Person, now time.Time) (int, error) {
	if err := m.lock(); err != nil {
		return 0, err
	}
	defer m.mu.Unlock()
	m.forgotten[who] = now
	return m.remove(func(r *history.Record) bool { return is(who, r) }), nil
}

func (m *memory) Expire(_ context.Context, namespace, server string, before time.Time) (int, error) {
	if err := m.lock(); err != nil {
		return 0, err
	}
	defer m.mu.Unlock()
	m.expired[[2]string{namespace, server}] = before
	return m.remove(func(r *history.Record) bool {
		start := r.Start().Time()
		over := time.Date(start.Year(), start.Month()+1, 1, 0, 0, 0, 0, time.UTC)
		return r.Namespace == namespace && r.Server == server && !over.After(before)
	}), nil
}

func (m *memory) Ping(context.Context) error {
	if err := m.lock(); err != nil {
		return err
	}
	m.mu.Unlock()
	return nil
}

func (m *memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return nil
}
