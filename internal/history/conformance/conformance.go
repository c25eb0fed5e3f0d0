// Package conformance is the contract of history.Store as tests that every store runs. What a store must come to
// is told by a model: a map, and history.Merge.
//
// It knows no database: a store plugs in by a function that opens an empty one. It is for tests only.
package conformance

import (
	"cmp"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/tegata-dev/tegata/internal/history"
)

// Open opens a store that is empty, of which the suite is the only user. The suite closes it.
type Open func(t *testing.T) history.Store

// patience bounds what a test waits for.
const patience = time.Minute

// Run drives stores through the contract.
func Run(t *testing.T, open func(t *testing.T) history.Store) {
	tests := map[string]func(*testing.T, *subject){
		"put: any order, again, partial and late": testAnyOrder,
		"put: one record comes back as it is":     testRoundTrip,
		"put: what became of each is told":        testStored,
		"put: the login tells whose it is":        testUserChanges,
		"put: another server's record":            testOtherServer,
		"put: another login of the same ID":       testContradiction,
		"put: concurrent":                         testConcurrentPuts,
		"get: not found":                          testNotFound,
		"list: pages":                             testPages,
		"list: pages while records come in":       testPagesDuringPuts,
		"list: each field of the filter":          testFilters,
		"list: a filter that matches little":      testRare,
		"list: since and until":                   testSpan,
		"list: edges of months":                   testMonths,
		"list: one ID in many namespaces":         testOneID,
		"usages: pages":                           testUsagePages,
		"usages: users and totals":                testUsages,
		"usages: no total is negative":            testHugeTotals,
		"servers":                                 testServers,
		"changes: in order":                       testChanges,
		"changes: wait":                           testChangesWait,
		"changes: too old":                        testChangesTooOld,
		"close lost":                              testCloseLost,
		"forget":                                  testForget,
		"forget: by the name as typed":            testForgetUserName,
		"expire":                                  testExpire,
		"expire: while reading":                   testExpireDuringList,
		"expire: while writing":                   testExpireDuringPuts,
		"closed":                                  testClosed,
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			t.Cleanup(func() {
				if err := s.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
			})
			if err := s.Ping(t.Context()); err != nil {
				t.Fatalf("ping: %v", err)
			}
			test(t, &subject{t: t, store: s})
		})
	}
}

// subject is the store under test, whose every error but those that a test looks for ends the test.
type subject struct {
	t     *testing.T
	store history.Store
}

func (s *subject) put(records ...history.Record) history.Stored {
	s.t.Helper()
	stored, err := s.store.Put(s.t.Context(), records)
	if err != nil {
		s.t.Fatalf("put: %v", err)
	}
	if n := stored.New + stored.Changed + stored.Same + stored.Dropped; n != len(records) {
		s.t.Fatalf("put of %d records tells of %d: %+v", len(records), n, stored)
	}
	return stored
}

func (s *subject) wantStored(want history.Stored, records ...history.Record) {
	s.t.Helper()
	if got := s.put(records...); got != want {
		s.t.Errorf("put: got %+v, want %+v", got, want)
	}
}

func (s *subject) get(namespace string, id history.ID) history.Record {
	s.t.Helper()
	r, err := s.store.Get(s.t.Context(), namespace, id)
	if err != nil {
		s.t.Fatalf("get %s: %v", id, err)
	}
	return r
}

// list is all pages of a query. They are in order, none is too long, and they come to an end.
func (s *subject) list(f history.Filter, limit int) []history.Record {
	s.t.Helper()
	var all []history.Record
	q := history.Query{Filter: f, Limit: limit}
	for {
		page := s.page(q)
		for _, r := range page.Records {
			if len(all) > 0 && history.PositionOf(&r).Compare(history.PositionOf(&all[len(all)-1])) >= 0 {
				s.t.Fatalf("record %s follows %s", r.ID, all[len(all)-1].ID)
			}
			all = append(all, r)
		}
		if page.Next == (history.Position{}) {
			return all
		}
		if q.Before != (history.Position{}) && page.Next.Compare(q.Before) >= 0 {
			s.t.Fatalf("the page behind %v leads to one behind %v", q.Before, page.Next)
		}
		q.Before = page.Next
	}
}

func (s *subject) page(q history.Query) history.Page {
	s.t.Helper()
	page, err := s.store.List(s.t.Context(), q)
	if err != nil {
		s.t.Fatalf("list %+v: %v", q, err)
	}
	if len(page.Records) > q.Limit {
		s.t.Fatalf("a page of at most %d has %d records", q.Limit, len(page.Records))
	}
	return page
}

func (s *subject) wantList(name string, f history.Filter, limit int, want []history.Record) {
	s.t.Helper()
	got := s.list(f, limit)
	if diff := gocmp.Diff(newestFirst(want), got, equateEmpty); diff != "" {
		s.t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

// usages is all pages of a query, in order.
func (s *subject) usages(q history.UsageQuery) []history.Usage {
	s.t.Helper()
	var all []history.Usage
	for {
		page, err := s.store.Usages(s.t.Context(), q)
		if err != nil {
			s.t.Fatalf("usages %+v: %v", q, err)
		}
		if len(page.Usages) > q.Limit {
			s.t.Fatalf("a page of at most %d has %d usages", q.Limit, len(page.Usages))
		}
		for _, u := range page.Usages {
			if len(all) > 0 && compareUsages(all[len(all)-1], u) >= 0 {
				s.t.Fatalf("usage %+v follows %+v", u, all[len(all)-1])
			}
			all = append(all, u)
		}
		if page.Next == (history.UsageKey{}) {
			return all
		}
		if page.Next == q.After {
			s.t.Fatalf("the page after %+v leads to itself", q.After)
		}
		q.After = page.Next
	}
}

func compareUsages(a, b history.Usage) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.User, b.User), cmp.Compare(a.Server, b.Server))
}

// wantModel compares all that there is with a model.
func (s *subject) wantModel(m *model) {
	s.t.Helper()
	s.wantList("all records", history.Filter{}, history.MaxPage, m.matching(history.Filter{}))
	if diff := gocmp.Diff(m.usages(history.UsageQuery{}), s.usages(history.UsageQuery{Limit: history.MaxPage}), equateEmpty); diff != "" {
		s.t.Errorf("usages (-want +got):\n%s", diff)
	}
}

var equateEmpty = gocmp.FilterPath(func(p gocmp.Path) bool { return len(p) == 1 }, gocmp.Options{
	gocmp.FilterValues(func(a, b []history.Record) bool { return len(a)+len(b) == 0 }, gocmp.Ignore()),
	gocmp.FilterValues(func(a, b []history.Usage) bool { return len(a)+len(b) == 0 }, gocmp.Ignore()),
})

func newestFirst(records []history.Record) []history.Record {
	return slices.SortedFunc(slices.Values(records), func(a, b history.Record) int {
		return history.PositionOf(&b).Compare(history.PositionOf(&a))
	})
}
