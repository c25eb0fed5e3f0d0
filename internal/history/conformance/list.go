package conformance

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/tegata-dev/tegata/internal/history"
)

func testPages(_ *testing.T, s *subject) {
	_, want := fill(s.t, s, 300)
	for _, f := range []history.Filter{
		{}, {Namespace: "relays"}, {Namespace: "relays", Server: "asp2"}, {Namespace: "relays", User: "taro"}, {User: "taro"},
		{Namespace: "nowhere"}, {Namespace: "relays", User: "nobody"}, {Server: "asp1"},
	} {
		for _, limit := range []int{1, 7, 299, history.MaxPage} {
			s.wantList(fmt.Sprintf("%+v by %d", f, limit), f, limit, want.matching(f))
		}
	}
}

// testPagesDuringPuts pages while newer and older records come in: those that were there are there once.
func testPagesDuringPuts(t *testing.T, s *subject) {
	m, before := fill(t, s, 200)
	ctx, cancel := context.WithCancel(t.Context())
	var writer sync.WaitGroup
	writer.Go(func() {
		for range 300 { // more would only make the pages more
			if ctx.Err() != nil {
				return
			}
			at := began.Add(time.Duration(m.random.IntN(80*24)) * time.Hour)
			if _, err := s.store.Put(context.WithoutCancel(ctx), []history.Record{m.success(at, "taro"), m.failure(at, "jiro", "Throttled")}); err != nil {
				t.Errorf("put: %v", err)
			}
		}
	})
	for range 5 {
		for _, f := range []history.Filter{{}, {Namespace: "relays", User: "taro"}, {Result: history.Success}} {
			seen := map[modelKey]history.Record{}
			for _, r := range s.list(f, 10) {
				if !f.Matches(&r) {
					t.Fatalf("%+v lists %+v", f, r)
				}
				seen[modelKey{r.Namespace, r.ID}] = r
			}
			for _, want := range before.matching(f) {
				if diff := gocmp.Diff(want, seen[modelKey{want.Namespace, want.ID}]); diff != "" {
					t.Fatalf("%+v, a record that was there (-want +got):\n%s", f, diff)
				}
			}
		}
	}
	cancel()
	writer.Wait()
}

// testFilters tries each field alone, within a server and a user, and with others, against values that records have.
func testFilters(_ *testing.T, s *subject) {
	_, want := fill(s.t, s, 150)
	fields := map[string]func(f *history.Filter, r *history.Record){
		"Namespace":     func(f *history.Filter, r *history.Record) { f.Namespace = r.Namespace },
		"Server":        func(f *history.Filter, r *history.Record) { f.Server = r.Server },
		"User":          func(f *history.Filter, r *history.Record) { f.User = r.User },
		"UserName":      func(f *history.Filter, r *history.Record) { f.UserName = r.UserName },
		"Program":       func(f *history.Filter, r *history.Record) { f.Program = r.Program },
		"Viewer":        func(f *history.Filter, r *history.Record) { f.Viewer = r.Viewer },
		"Slot":          func(f *history.Filter, r *history.Record) { f.Slot = r.Slot },
		"Result":        func(f *history.Filter, r *history.Record) { f.Result = r.Result },
		"Reason":        func(f *history.Filter, r *history.Record) { f.Reason = r.Reason },
		"Listener":      func(f *history.Filter, r *history.Record) { f.Listener = r.Listener },
		"SourceAddress": func(f *history.Filter, r *history.Record) { f.SourceAddress = r.SourceAddress },
		"MACAddress":    func(f *history.Filter, r *history.Record) { f.MACAddress = r.MACAddress },
		"Destination":   func(f *history.Filter, r *history.Record) { f.Destination = r.Destination },
		"DeviceDigest":  func(f *history.Filter, r *history.Record) { f.DeviceDigest = r.DeviceDigest },
	}
	all := want.matching(history.Filter{})
	for name, set := range fields {
		for i := range 4 {
			r := all[i*len(all)/4]
			var alone, within, mixed history.Filter
			set(&alone, &r)
			within.Namespace, within.Server, within.User = r.Namespace, r.Server, r.User
			set(&within, &r)
			mixed.Namespace, mixed.Program, mixed.Result, mixed.Reason = r.Namespace, r.Program, r.Result, r.Reason
			set(&mixed, &r)
			for _, f := range []history.Filter{alone, within, mixed} {
				s.wantList(fmt.Sprintf("%s: %+v", name, f), f, 20, want.matching(f))
			}
		}
	}
	never := history.Filter{Result: history.Success, Reason: "DeviceMismatch"}
	s.wantList("a success with a reason", never, 20, nil)
}

// testRare looks for one record among many that are newer.
func testRare(_ *testing.T, s *subject) {
	m, want := fill(s.t, s, 500)
	rare := m.failure(began.Add(time.Second), "rare", "SessionEnded")
	rare.SourceAddress, rare.MACAddress, rare.UserName = "203.0.113.99", "02:00:00:00:00:99", "Rare"
	s.put(rare)
	want.records[modelKey{rare.Namespace, rare.ID}] = rare
	for _, f := range []history.Filter{
		{Reason: "SessionEnded"}, {Namespace: "relays", Reason: "SessionEnded"}, {User: "rare"}, {UserName: "Rare"},
		{SourceAddress: rare.SourceAddress}, {Namespace: "relays", MACAddress: rare.MACAddress},
		{Namespace: "relays", Server: "asp1", User: "rare", Result: history.Failure, SourceAddress: rare.SourceAddress},
	} {
		s.wantList(fmt.Sprintf("%+v", f), f, 50, []history.Record{rare})
		if page := s.page(history.Query{Filter: f, Limit: 50}); f.Indexed() && len(page.Records) != 1 {
			s.t.Errorf("%+v is indexed, and its first page has %d records", f, len(page.Records))
		}
	}
}

func testSpan(_ *testing.T, s *subject) {
	m := newMaker()
	var all []history.Record
	for i := range 40 {
		all = append(all, m.success(began.Add(time.Duration(i)*time.Millisecond), m.pick("taro", "jiro")))
	}
	s.put(m.shuffled(all)...)
	want := newModel(all...)
	at := began.Add
	zone := time.FixedZone("JST", 9*3600)
	for name, f := range map[string]history.Filter{
		"since":                     {Since: at(10 * time.Millisecond)},
		"until":                     {Until: at(10 * time.Millisecond)},
		"both":                      {Since: at(10 * time.Millisecond), Until: at(20 * time.Millisecond)},
		"one millisecond":           {Since: at(10 * time.Millisecond), Until: at(11 * time.Millisecond)},
		"nothing":                   {Since: at(10 * time.Millisecond), Until: at(10 * time.Millisecond)},
		"the wrong way round":       {Since: at(20 * time.Millisecond), Until: at(10 * time.Millisecond)},
		"between two milliseconds":  {Since: at(10*time.Millisecond + 1), Until: at(20*time.Millisecond + 1)},
		"another zone":              {Since: at(10 * time.Millisecond).In(zone), Until: at(20 * time.Millisecond).In(zone)},
		"before there was a record": {Until: at(-time.Hour)},
		"after all":                 {Since: at(time.Hour)},
		"long ago":                  {Since: time.Date(1, 1, 1, 0, 0, 0, 1, time.UTC), Until: time.Date(1969, 1, 1, 0, 0, 0, 0, time.UTC)},
		"the far future":            {Since: time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC), Until: time.Date(99999, 1, 1, 0, 0, 0, 0, time.UTC)},
	} {
		s.wantList(name, f, 3, want.matching(f))
		f.Namespace, f.User, f.Result = "relays", "taro", history.Success
		s.wantList(name+", of taro", f, 3, want.matching(f))
	}
}

// testMonths has records at the very edges of months, and one with all its other bits set.
func testMonths(_ *testing.T, s *subject) {
	m := newMaker()
	var all []history.Record
	for month := time.November; month < time.November+5; month++ {
		edge := time.Date(2026, month, 1, 0, 0, 0, 0, time.UTC)
		for _, at := range []time.Time{edge.Add(-time.Millisecond), edge} {
			low, high := m.success(at, "taro"), m.success(at, "jiro")
			for i := 6; i < len(low.ID); i++ {
				low.ID[i], high.ID[i] = 0, 0xff
			}
			low.End, low.EndTime = history.Logout, history.At(at.Add(26*time.Hour)) // ends in another month
			all = append(all, low, m.failure(at, "taro", "DeviceMismatch"), high)
		}
	}
	s.put(m.shuffled(all)...)
	want := newModel(all...)
	s.wantModel(want)
	for _, limit := range []int{1, 2, 3, 5} {
		s.wantList("all", history.Filter{}, limit, want.matching(history.Filter{}))
		f := history.Filter{Namespace: "relays", User: "taro", Result: history.Success}
		s.wantList("those of taro", f, limit, want.matching(f))
		f = history.Filter{Since: time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC), Until: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)}
		s.wantList("December", f, limit, want.matching(f))
	}
}

// testOneID has records of one ID in many namespaces, as nobody who is honest makes them: each is there once, wherever
// a page ends.
func testOneID(_ *testing.T, s *subject) {
	m := newMaker()
	var all []history.Record
	for i := range 6 {
		at := began.Add(time.Duration(i%4) * 20 * 24 * time.Hour) // of several months
		r := m.success(at, "taro")
		for _, namespace := range []string{"b", "a", "d", "c"}[:1+i%4] {
			r.Namespace, r.Server, r.Program = namespace, m.pick("asp1", "asp2"), m.pick("viewer", "client")
			all = append(all, r)
		}
	}
	s.put(m.shuffled(all)...)
	want := newModel(all...)
	for limit := range 12 {
		for _, f := range []history.Filter{
			{}, {User: "taro"}, {Result: history.Success}, {Program: "viewer"}, {Listener: "login"}, {Namespace: "c"}, {Server: "asp2"},
		} {
			s.wantList(fmt.Sprintf("%+v by %d", f, limit+1), f, limit+1, want.matching(f))
		}
	}
}
