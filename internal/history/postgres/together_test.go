package postgres_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/tegata-dev/tegata/internal/history"
	"github.com/tegata-dev/tegata/internal/testenv/postgrestest"
)

// TestBadBatchFailsAlone has batches wait for who holds the lock, one of which the database cannot hold: the others are
// kept, with their totals.
func TestBadBatchFailsAlone(t *testing.T) {
	url := postgrestest.Database(t, postgrestest.Shared(t))
	s := open(t, url)
	told := []history.Record{login(began, "taro")}
	put(t, s, told...)
	locker, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer locker.Close(t.Context()) //nolint:errcheck // it has done its work
	if _, err := locker.Exec(t.Context(), "SELECT pg_advisory_lock(x'746567617461'::bigint)"); err != nil {
		t.Fatal(err)
	}
	var writers sync.WaitGroup
	for n := range 8 {
		r := login(began, fmt.Sprintf("user-%d", n))
		told = append(told, r)
		writers.Go(func() {
			if stored, err := s.Put(t.Context(), []history.Record{r}); err != nil || stored != (history.Stored{New: 1}) {
				t.Errorf("put: got %+v, %v", stored, err)
			}
		})
	}
	writers.Go(func() {
		if _, err := s.Put(t.Context(), []history.Record{login(began, "jiro"), login(began, "ji\x00ro")}); err == nil {
			t.Error("a text that the database cannot hold is kept")
		}
	})
	if _, err := locker.Exec(t.Context(), "SELECT pg_advisory_unlock(x'746567617461'::bigint)"); err != nil {
		t.Fatal(err)
	}
	writers.Wait()
	wantTruth(t, s, told)
}
