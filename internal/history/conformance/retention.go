package conformance

import (
	"sync"
	"testing"
	"time"

	"github.com/tegata-dev/tegata/internal/history"
)

// acknowledged are the tellings that a store has said it keeps.
type acknowledged struct {
	mu  sync.Mutex
	all []history.Record
}

func (a *acknowledged) add(records []history.Record) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.all = append(a.all, records...)
}

func (a *acknowledged) model() *model {
	a.mu.Lock()
	defer a.mu.Unlock()
	return newModel(a.all...)
}

// testExpireDuringPuts drops October again and again, of one server and then of all, while records of October and of
// later come in, some twice and in any order, and somebody reads. What is later was acknowledged and is there, once;
// of October nothing is left; totals are exact.
func testExpireDuringPuts(t *testing.T, s *subject) {
	m := newMaker()
	tellings := m.tellings(200)
	november := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	old := func(r *history.Record) bool { return r.Start().Time().Before(november) }
	before := len(tellings) / 4
	s.put(tellings[:before]...)
	var told acknowledged
	told.add(tellings[:before])

	var writers sync.WaitGroup
	for range 3 {
		batches := m.batches(m.shuffled(tellings), 60)
		writers.Go(func() {
			for _, batch := range batches {
				if _, err := s.store.Put(t.Context(), batch); err != nil {
					t.Errorf("put: %v", err)
					return
				}
				told.add(batch)
			}
		})
	}
	written := make(chan struct{})
	go func() { writers.Wait(); close(written) }()
	var eraser sync.WaitGroup
	eraser.Go(func() { eraseUntil(t, s.store, november, written) })

	for done := false; !done; {
		select {
		case <-written:
			done = true // and once more after the last
		default:
		}
		want := told.model()
		want.drop(old)
		got := newModel(s.list(history.Filter{}, 50)...)
		for key, r := range want.records {
			if _, ok := got.records[key]; !ok {
				t.Errorf("a record of %s was acknowledged, and is not there", r.Start().Time())
			}
		}
		s.usages(history.UsageQuery{Limit: 3})
	}
	eraser.Wait()
	want := newModel(tellings...)
	if want.drop(old) == 0 || len(want.records) == 0 {
		t.Fatal("there is nothing to drop, or nothing to keep")
	}
	s.wantModel(want)
}

// eraseRounds are as many as a store need not take long for.
const eraseRounds = 8

// eraseUntil drops what is before a time, of one server more each round, until all was written.
func eraseUntil(t *testing.T, store history.Store, before time.Time, written <-chan struct{}) {
	servers := []history.ServerName{{Namespace: "relays", Name: "asp1"}, {Namespace: "other", Name: "asp2"}, {Namespace: "relays", Name: "asp2"}, {Namespace: "other", Name: "asp1"}}
	for round := 1; round <= eraseRounds; round++ {
		if round == eraseRounds {
			<-written
		}
		for _, of := range servers[:min(round, len(servers))] {
			if _, err := store.Expire(t.Context(), of.Namespace, of.Name, before); err != nil {
				t.Errorf("expire: %v", err)
			}
		}
	}
}
