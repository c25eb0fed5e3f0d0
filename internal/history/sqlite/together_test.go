package sqlite

import (
	"sync"
	"testing"

	"github.com/tegata-dev/tegata/internal/history"
)

// TestBadBatchFailsAlone has batches wait for who writes, one of which cannot be kept: the others are, with their totals.
func TestBadBatchFailsAlone(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	if err := s.startWriting(t.Context()); err != nil {
		t.Fatal(err)
	}
	bad := attempts(8, 10)
	bad[1].End = "Nonsense"
	var writers sync.WaitGroup
	for n := range 8 {
		writers.Go(func() {
			stored, err := s.Put(t.Context(), attempts(n, n+1))
			if want := (history.Stored{New: 1}); err != nil || stored != want {
				t.Errorf("put: got %+v, %v, want %+v", stored, err, want)
			}
		})
	}
	writers.Go(func() {
		if _, err := s.Put(t.Context(), bad); err == nil {
			t.Error("a record with an end that there is not was kept")
		}
	})
	s.stopWriting()
	writers.Wait()
	wantWhole(t, s, attempts(0, 8))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	wantWhole(t, openStore(t, dir), attempts(0, 8))
}
