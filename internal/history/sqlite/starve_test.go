package sqlite

import (
	"context"
	"encoding/binary"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/tegata-dev/tegata/internal/history"
)

// TestReadersDoNotHoldTheLog has readers overlap without a pause while records come in: the log is emptied all the
// same, and does not grow for as long as they go on.
func TestReadersDoNotHoldTheLog(t *testing.T) {
	s := openStore(t, t.TempDir(), "wal_autocheckpoint(64)")
	s.maxLog = 4 * 64 * 4096
	next := uint32(0)
	batch := func() []history.Record {
		some := attempts(0, 100)
		for i := range some {
			next++
			binary.BigEndian.PutUint32(some[i].ID[12:], next)
		}
		return some
	}
	put(t, s, batch()...)
	ctx, cancel := context.WithCancel(t.Context())
	var reading sync.WaitGroup
	for range 4 {
		reading.Go(func() {
			for ctx.Err() == nil {
				if _, err := s.List(t.Context(), history.Query{Limit: 1000}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	path := s.path(monthOf(attempt(50).ID)) + "-wal"
	for range 60 {
		put(t, s, batch()...)
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() > s.maxLog {
			t.Errorf("after a batch the log has %d bytes, want at most %d", info.Size(), s.maxLog)
		}
	}
	cancel()
	reading.Wait()
}

// TestManyReadersOfANewMonth has more of them than connections prepare their statements at a time: none may hold the
// connection that another one waits for.
func TestManyReadersOfANewMonth(t *testing.T) {
	dir := t.TempDir()
	for range 10 {
		s := openStore(t, dir)
		put(t, s, attempts(0, 100)...)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		var reading sync.WaitGroup
		for n := range 4 * readers {
			reading.Go(func() {
				filter := history.Filter{Result: []history.Result{"", history.Success, history.Failure}[n%3], Program: []string{"", "viewer"}[n%2]}
				if _, err := s.List(ctx, history.Query{Filter: filter, Limit: 10}); err != nil {
					t.Error(err)
				}
			})
		}
		done := make(chan struct{})
		go func() { reading.Wait(); close(done) }()
		select {
		case <-done:
		case <-ctx.Done():
			t.Fatal("readers wait for each other")
		}
		cancel()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
