package postgres_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/oklog/ulid/v2"

	"github.com/tegata-dev/tegata/internal/history"
)

var began = time.Date(2026, 10, 15, 10, 17, 0, 0, time.UTC)

// login is an attempt that was admitted.
func login(at time.Time, user string) history.Record {
	id := ulid.ULID{}
	_ = id.SetTime(ulid.Timestamp(at))
	for i := 6; i < len(id); i++ {
		id[i] = byte(rand.Uint32())
	}
	return history.Record{
		ID: id, Namespace: "relays", Server: "asp1", UserName: "The " + user, User: user, Program: "viewer", Viewer: "pc", Slot: "pc",
		Result: history.Success, Expire: history.At(at.Add(8 * time.Hour)), SourceAddress: "192.0.2.7", Listener: "login", Sidecar: "asp1-0",
	}
}

// denial is an attempt that was not.
func denial(at time.Time, user, reason string) history.Record {
	r := login(at, user)
	r.Result, r.Reason, r.Expire = history.Failure, reason, 0
	return r
}

// tellings are those of so many attempts over three months, each told two or three times, shuffled.
func tellings(attempts int) []history.Record {
	var all []history.Record
	for i := range attempts {
		at := began.Add(time.Duration(i) * 60 * 24 * time.Hour / time.Duration(attempts)).Truncate(time.Millisecond)
		user := fmt.Sprintf("user-%d", rand.IntN(7))
		if i%4 == 0 {
			r := denial(at, user, "DeviceMismatch")
			all = append(all, r, r)
			continue
		}
		r := login(at, user)
		seen, ended := r, r
		seen.LastSeen = history.At(at.Add(time.Duration(rand.IntN(3600)) * time.Second))
		ended.End, ended.EndTime = history.Logout, history.At(at.Add(time.Duration(rand.IntN(7200))*time.Second))
		all = append(all, r, seen, ended)
	}
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

// truth is what tellings come to: the records, newest first, and how long each user was connected.
func truth(told []history.Record) (records []history.Record, connected map[string]time.Duration) {
	byID := map[history.ID]history.Record{}
	for _, r := range told {
		if kept, ok := byID[r.ID]; ok {
			r = history.Merge(kept, r)
		}
		byID[r.ID] = r
	}
	connected = map[string]time.Duration{}
	for _, r := range byID {
		records = append(records, r)
		connected[r.User] += r.Connected()
	}
	slices.SortFunc(records, func(a, b history.Record) int { return b.ID.Compare(a.ID) })
	return records, connected
}

// wantTruth compares all that a store has with what was told.
func wantTruth(t *testing.T, s history.Store, told []history.Record) {
	t.Helper()
	records, connected := truth(told)
	if diff := cmp.Diff(records, all(t, s, history.Filter{})); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	page, err := s.Usages(t.Context(), history.UsageQuery{Limit: history.MaxPage})
	if err != nil {
		t.Fatal(err)
	}
	got, attempts := map[string]time.Duration{}, uint64(0)
	for _, u := range page.Usages {
		got[u.User] += u.Connected
		attempts += u.Attempts
	}
	if diff := cmp.Diff(connected, got); diff != "" {
		t.Errorf("connected (-want +got):\n%s", diff)
	}
	if attempts != uint64(len(records)) {
		t.Errorf("%d attempts are counted, want %d", attempts, len(records))
	}
}

func all(t *testing.T, s history.Store, f history.Filter) []history.Record {
	t.Helper()
	var found []history.Record
	q := history.Query{Filter: f, Limit: 100}
	for {
		page, err := s.List(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, page.Records...)
		if q.Before = page.Next; q.Before == (history.Position{}) {
			return found
		}
	}
}

func put(t *testing.T, s history.Store, records ...history.Record) history.Stored {
	t.Helper()
	stored, err := s.Put(t.Context(), records)
	if err != nil {
		t.Fatal(err)
	}
	return stored
}
