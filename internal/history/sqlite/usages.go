package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"

	"github.com/tegata-dev/tegata/internal/history"
)

// Usages is a page of what users have used: the sum over the months.
func (s *Store) Usages(ctx context.Context, q history.UsageQuery) (history.UsagePage, error) {
	if q.Limit < 1 || q.Limit > history.MaxPage {
		return history.UsagePage{}, fmt.Errorf("list usages: a page has 1 to %d of them, not %d", history.MaxPage, q.Limit)
	}
	page, err := s.usages(ctx, q)
	if err != nil {
		return history.UsagePage{}, fmt.Errorf("list usages: %w", err)
	}
	return page, nil
}

func (s *Store) usages(ctx context.Context, q history.UsageQuery) (history.UsagePage, error) {
	months := s.allMonths()
	namespaces, err := s.namespaces(ctx, months, q)
	if err != nil {
		return history.UsagePage{}, err
	}
	var page history.UsagePage
	for _, namespace := range namespaces {
		for from := (history.UsageKey{Namespace: namespace}); ; {
			if q.After.Namespace == namespace && compareKeys(from, q.After) < 0 {
				from = q.After
			}
			some, more, err := s.usagesFrom(ctx, months, q, from)
			if err != nil {
				return history.UsagePage{}, err
			}
			page.Usages = append(page.Usages, some...)
			if len(page.Usages) > q.Limit {
				page.Usages = page.Usages[:q.Limit]
				page.Next = keyOf(page.Usages[q.Limit-1])
				return page, nil
			}
			if more == "" {
				break
			}
			from = history.UsageKey{Namespace: namespace, User: more, Server: lastServer}
		}
	}
	return page, nil
}

// lastServer comes after the name of every server.
const lastServer = "\U0010ffff"

// namespaces are those that the page may be of, in order.
func (s *Store) namespaces(ctx context.Context, months []monthKey, q history.UsageQuery) ([]string, error) {
	if q.Namespace != "" {
		if q.Namespace < q.After.Namespace {
			return nil, nil
		}
		return []string{q.Namespace}, nil
	}
	found := map[string]bool{}
	for _, key := range months {
		err := s.with(ctx, key, func(m *month) error {
			return m.read(ctx, func(tx *reading) error {
				return tx.each("SELECT DISTINCT namespace FROM relay WHERE namespace >= ?", []any{q.After.Namespace}, func(rows *sql.Rows) error {
					var namespace string
					err := rows.Scan(&namespace)
					found[namespace] = true
					return err
				})
			})
		})
		if err != nil {
			return nil, err
		}
	}
	return slices.Sorted(maps.Keys(found)), nil
}

// usagesFrom is what comes after a key in its namespace, in order. It may stop after a user, and then tells whose
// usage it knows last.
func (s *Store) usagesFrom(ctx context.Context, months []monthKey, q history.UsageQuery, from history.UsageKey) (some []history.Usage, more string, err error) {
	sums := map[history.UsageKey]history.Usage{}
	for _, key := range months {
		err := s.with(ctx, key, func(m *month) error {
			parts, cut, err := m.usages(ctx, q, from)
			for _, u := range parts {
				sums[keyOf(u)] = sum(sums[keyOf(u)], u)
			}
			if cut != "" && (more == "" || cut < more) {
				more = cut
			}
			return err
		})
		if err != nil {
			return nil, "", err
		}
	}
	for key, u := range sums {
		if (more == "" || key.User <= more) && compareKeys(key, from) > 0 {
			some = append(some, u)
		}
	}
	slices.SortFunc(some, func(a, b history.Usage) int { return compareKeys(keyOf(a), keyOf(b)) })
	return some, more, nil
}

// usages are those of users in one month, from a key's user on. They are cut off after so many of each server: the
// first user after whom some may be missing is told.
func (m *month) usages(ctx context.Context, q history.UsageQuery, from history.UsageKey) (all []history.Usage, cut string, err error) {
	for {
		all, cut = nil, ""
		var (
			accounts []int64
			number   int64
		)
		err = m.read(ctx, func(tx *reading) error {
			if err := tx.row("SELECT number FROM fold", nil, &number); err != nil {
				return err
			}
			servers, err := tx.servers(q, from.Namespace)
			if err != nil {
				return err
			}
			for _, server := range slices.Sorted(maps.Keys(servers)) {
				of := history.Usage{Namespace: from.Namespace, Server: server}
				n := len(all)
				if all, accounts, err = tx.usages(servers[server], q, from.User, of, all, accounts); err != nil {
					return err
				}
				if last := len(all) - 1; len(all)-n > q.Limit && (cut == "" || all[last].User < cut) {
					cut = all[last].User
				}
			}
			return nil
		})
		if err != nil {
			return nil, "", err
		}
		if m.fold.addTo(number, accounts, all) {
			break
		}
	}
	return slices.DeleteFunc(all, func(u history.Usage) bool { return u.Attempts == 0 }), cut, nil
}

// servers are those of a namespace, with their numbers.
func (r *reading) servers(q history.UsageQuery, namespace string) (map[string]int64, error) {
	servers := map[string]int64{}
	err := r.each("SELECT id, server FROM relay WHERE namespace = ?", []any{namespace}, func(rows *sql.Rows) error {
		var (
			id     int64
			server string
		)
		err := rows.Scan(&id, &server)
		if is(q.Server, server) {
			servers[server] = id
		}
		return err
	})
	return servers, err
}

const (
	selectUsage = `SELECT a.id, a.user, coalesce(u.connected, 0), coalesce(u.attempts, 0), coalesce(u.failures, 0),
  coalesce(u.first, 0), coalesce(u.last, 0) FROM account a LEFT JOIN usage u ON u.account = a.id `
	selectUserUsage  = selectUsage + "WHERE a.relay = ?1 AND a.user = ?2 LIMIT ?3 + 0"
	selectUsersUsage = selectUsage + "WHERE a.relay = ?1 AND a.user >= ?2 AND a.user <> '' ORDER BY a.user LIMIT ?3 + 0"
)

// usages appends those of a relay's users, and the numbers of their accounts.
func (r *reading) usages(relay int64, q history.UsageQuery, from string, of history.Usage, all []history.Usage, accounts []int64) ([]history.Usage, []int64, error) {
	text := selectUsersUsage
	if q.User != "" {
		text, from = selectUserUsage, q.User
	}
	err := r.each(text, []any{relay, from, q.Limit + 1}, func(rows *sql.Rows) error {
		var account, connected, attempts, failures, first, last int64
		u := of
		if err := rows.Scan(&account, &u.User, &connected, &attempts, &failures, &first, &last); err != nil {
			return err
		}
		all, accounts = append(all, usageOf(u, delta{connected, attempts, failures, first, last})), append(accounts, account)
		return nil
	})
	return all, accounts, err
}

// addTo adds what is pending to usages that were read at a number; false when that is over.
func (f *folding) addTo(number int64, accounts []int64, all []history.Usage) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.number != number {
		return false
	}
	for i, account := range accounts {
		if d, ok := f.pending[account]; ok {
			all[i] = sum(all[i], usageOf(all[i], d))
		}
	}
	return true
}

func usageOf(u history.Usage, d delta) history.Usage {
	u.Connected = history.TimeOf(d.connected)
	u.Attempts, u.Failures = uint64(d.attempts), uint64(d.failures) //nolint:gosec // a sum of two is never negative
	u.First, u.Last = history.Millis(d.first), history.Millis(d.last)
	return u
}

// sum is the usage of one user in two parts. One that is nothing has no times; parts may be negative, but not sums.
func sum(a, b history.Usage) history.Usage {
	if a == (history.Usage{}) || a.First == 0 {
		b.Connected, b.Attempts, b.Failures = history.AddTime(a.Connected, b.Connected), a.Attempts+b.Attempts, a.Failures+b.Failures
		return b
	}
	a.Connected = history.AddTime(a.Connected, b.Connected)
	a.Attempts += b.Attempts // unsigned numbers go round: what is less is right, too
	a.Failures += b.Failures
	a.First, a.Last = min(a.First, b.First), max(a.Last, b.Last)
	return a
}

func keyOf(u history.Usage) history.UsageKey {
	return history.UsageKey{Namespace: u.Namespace, User: u.User, Server: u.Server}
}

func compareKeys(a, b history.UsageKey) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.User, b.User), cmp.Compare(a.Server, b.Server))
}

func is(want, got string) bool { return want == "" || want == got }
