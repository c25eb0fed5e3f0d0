package sqlite

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tegata-dev/tegata/internal/history"
)

// TestPlans has no statement of a page sort, or read what it does not need.
func TestPlans(t *testing.T) {
	s := openStore(t, t.TempDir())
	put(t, s, attempts(0, 30)...)
	m, err := s.acquire(t.Context(), monthOf(attempt(10).ID), false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.release(m); err != nil {
			t.Error(err)
		}
	})
	const (
		oneAccount = "SEARCH record USING COVERING INDEX by_account (account=? AND kind=? AND id>? AND id<?)"
		oneRelay   = "SEARCH record USING COVERING INDEX by_relay (relay=? AND kind=? AND id>? AND id<?)"
		all        = "SEARCH record USING PRIMARY KEY (id>? AND id<?)"
	)
	for text, want := range map[string]string{
		pageText(accountArm, 1):   oneAccount,
		pageText(accountArm, 64):  oneAccount,
		pageText(relayArm, 32):    oneRelay,
		pageText(noArm, 0):        all,
		countText(accountArm, 16): oneAccount,
		countText(relayArm, 1):    oneRelay,
		countText(noArm, 0):       all,
		selectOne:                 "SEARCH r USING PRIMARY KEY (id=? AND space=?)",
		selectSame:                "SEARCH r USING PRIMARY KEY (id=? AND space<?)",
		selectOpen:                "SEARCH r USING INDEX by_open (open_until<?)",
		selectUserUsage:           "SEARCH a USING COVERING INDEX sqlite_autoindex_account_1 (relay=? AND user=?)",
		selectUsersUsage:          "SEARCH a USING COVERING INDEX sqlite_autoindex_account_1 (relay=? AND user>?)",
	} {
		rows, err := m.reads.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+text, make([]any, 300)...)
		if err != nil {
			t.Fatal(err)
		}
		var plan []string
		for rows.Next() {
			var (
				id, parent, unused int
				detail             string
			)
			if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
				t.Fatal(err)
			}
			plan = append(plan, detail)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		plan = slices.DeleteFunc(plan, isMerging)
		if plan[0] != want || slices.ContainsFunc(plan, func(step string) bool { return !strings.HasPrefix(step, "SEARCH ") }) {
			t.Errorf("%s\nis done by\n%s\nwant first %s, and no scan or sort", text, strings.Join(plan, "\n"), want)
		}
	}
}

// TestArmsArePlannedOnce: SQLite does not say how often it has planned a statement, so this is about its text.
func TestArmsArePlannedOnce(t *testing.T) {
	for _, arm := range []string{accountArm, relayArm, noArm} {
		if mere := regexp.MustCompile(`\w+ = \?`).FindString(arm); mere != "" {
			t.Errorf("%q is planned anew for some values", mere)
		}
	}
}

// TestLargeStatementsAreNotKept reads pages of many kinds: statements that take hundreds of kilobytes are run without
// being kept.
func TestLargeStatementsAreNotKept(t *testing.T) {
	s := openStore(t, t.TempDir())
	all := attempts(10, 11+2*keptArms)
	for n := range all[1:] {
		r := &all[1+n]
		r.Result, r.Reason = history.Failure, fmt.Sprintf("Reason%c%c", 'A'+n/26, 'A'+n%26)
		r.End, r.EndTime, r.Expire = history.EndNone, 0, 0
	}
	put(t, s, all...)
	for name, f := range map[string]history.Filter{
		"by an index": {Result: history.Failure}, "by none": {Result: history.Failure, Listener: "login"},
	} {
		page, err := s.List(t.Context(), history.Query{Filter: f, Limit: 500})
		slices.Reverse(page.Records)
		if diff := cmp.Diff(all[1:], page.Records); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
	m, err := s.acquire(t.Context(), monthOf(all[1].ID), false)
	if err != nil {
		t.Fatal(err)
	}
	for text := range m.readers.all {
		if !isKept(text) {
			t.Errorf("%s is kept", text)
		}
	}
	if err := s.release(m); err != nil {
		t.Error(err)
	}
	for _, text := range []string{pageText(relayArm, keptArms), countText(accountArm, keptArms), pageText(noArm, 0)} {
		if !isKept(text) {
			t.Errorf("%s is not kept", text)
		}
	}
	for _, text := range []string{pageText(relayArm, 2*keptArms), countText(relayArm, 2*keptArms), countText(accountArm, 2*keptArms)} {
		if isKept(text) {
			t.Errorf("%s is kept", text)
		}
	}
}

// isMerging says whether a step of a plan reads of other steps no more than is wanted of it.
func isMerging(step string) bool {
	return step == "MERGE (UNION ALL)" || step == "LEFT" || step == "RIGHT" ||
		strings.HasPrefix(step, "CO-ROUTINE ") || step == "SCAN s" || step == "SCAN r" || strings.HasPrefix(step, "SCAN (subquery")
}

// TestBoundedPage looks by a filter that is not indexed, for one record that is older than a page may read.
func TestBoundedPage(t *testing.T) {
	s := openStore(t, t.TempDir())
	rare := attempt(0)
	rare.SourceAddress = "203.0.113.99"
	put(t, s, rare)
	s.maxRead = 100
	put(t, s, attempts(1, 1+s.maxRead)...)
	q := history.Query{Limit: 50, Filter: history.Filter{SourceAddress: rare.SourceAddress}}
	page, err := s.List(t.Context(), q)
	if err != nil || len(page.Records) > 0 || page.Next == (history.Position{}) {
		t.Fatalf("the first page: got %d records, next %v, %v", len(page.Records), page.Next, err)
	}
	q.Before = page.Next
	page, err = s.List(t.Context(), q)
	if diff := cmp.Diff(history.Page{Records: []history.Record{rare}}, page); err != nil || diff != "" {
		t.Errorf("the second page: %v (-want +got):\n%s", err, diff)
	}
}

// TestMadeUpReasons has one relay tell of more reasons than can be merged: others' pages are found as before.
func TestMadeUpReasons(t *testing.T) {
	s := openStore(t, t.TempDir())
	s.maxRead = 100
	batch := []history.Record{attempt(2)}
	batch[0].Result, batch[0].Reason = history.Failure, "DeviceRevoked"
	batch[0].End, batch[0].EndTime, batch[0].Expire = history.EndNone, 0, 0
	for n := range maxArms + 10 {
		r := attempt(3)
		r.ID[14], r.ID[15] = byte(n>>8), byte(n)
		batch = append(batch, r)
		r.Server, r.Result, r.Reason = "asp2", history.Failure, fmt.Sprintf("Reason%c%c", 'A'+n/26, 'A'+n%26)
		r.ID[13]++
		batch = append(batch, r)
	}
	put(t, s, batch...)
	q := history.Query{Limit: 50, Filter: history.Filter{Namespace: "relays", Server: "asp1", Reason: "DeviceRevoked"}}
	page, err := s.List(t.Context(), q)
	if diff := cmp.Diff(history.Page{Records: batch[:1]}, page); err != nil || diff != "" {
		t.Errorf("the other relay's: %v (-want +got):\n%s", err, diff)
	}
}

// TestOneIDInManyNamespaces pages through records of one ID: each is there once, wherever a page ends.
func TestOneIDInManyNamespaces(t *testing.T) {
	s := openStore(t, t.TempDir())
	var all []history.Record
	for n := range 4 {
		for _, namespace := range []string{"a", "b", "c"} {
			r := attempt(n)
			r.Namespace = namespace
			all = append(all, r)
		}
	}
	put(t, s, all...)
	for _, limit := range []int{1, 2, 3, 4, 5, 50} {
		seen := map[string]int{}
		for q := (history.Query{Limit: limit}); ; {
			page, err := s.List(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range page.Records {
				seen[r.Namespace+r.ID.String()]++
			}
			if q.Before = page.Next; q.Before == (history.Position{}) {
				break
			}
		}
		for _, r := range all {
			if n := seen[r.Namespace+r.ID.String()]; n != 1 {
				t.Errorf("by %d: record %s of %s is there %d times", limit, r.ID, r.Namespace, n)
			}
		}
	}
}

// TestFolded has so many Puts that what is pending is folded, and reads usage meanwhile.
func TestFolded(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := range foldPuts + 20 {
			if _, err := s.Put(t.Context(), attempts(4+n, 5+n)); err != nil {
				t.Error(err)
			}
		}
	}()
	var before uint64
	for reading := true; reading; {
		select {
		case <-done:
			reading = false
		default:
		}
		page, err := s.Usages(t.Context(), history.UsageQuery{Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		var now uint64
		for _, u := range page.Usages {
			now += u.Attempts
		}
		if now < before {
			t.Fatalf("there are %d attempts after %d", now, before)
		}
		before = now
	}
	all := attempts(4, 4+foldPuts+20)
	wantWhole(t, s, all)
	var pending int
	if err := s.recent[0].scanRow([]any{&pending}, "SELECT count(*) FROM pending"); err != nil || pending >= foldPuts {
		t.Errorf("%d Puts are pending, %v", pending, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	wantWhole(t, openStore(t, dir), all)
}

// TestReadingWaitsForNobody reads while somebody writes, and does not stop.
func TestReadingWaitsForNobody(t *testing.T) {
	s := openStore(t, t.TempDir())
	put(t, s, attempt(10))
	if err := s.startWriting(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer s.stopWriting()
	m := s.recent[0]
	if err := m.startWriting(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := m.rollback(); err != nil {
			t.Error(err)
		}
	}()
	done := make(chan error, 1)
	go func() {
		page, err := s.List(t.Context(), history.Query{Limit: 10})
		if err == nil && len(page.Records) != 1 {
			t.Errorf("got %+v", page)
		}
		if _, err := s.Usages(t.Context(), history.UsageQuery{Limit: 10}); err != nil {
			t.Error(err)
		}
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Error("a page waits for who writes")
	}
}
