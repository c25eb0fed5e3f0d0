package sqlite

import (
	"context"
	"encoding/binary"
	"os"
	"sync"
	"testing"

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
