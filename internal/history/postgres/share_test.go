package postgres_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tegata-dev/tegata/internal/history"
	"github.com/tegata-dev/tegata/internal/testenv/postgrestest"
)

// TestReadersKeepNobodyFromWriting has many who read a month that another program has locked, and so wait for as long
// as a statement may take. Others write, follow and ask whether the database is there meanwhile.
func TestReadersKeepNobodyFromWriting(t *testing.T) {
	url := postgrestest.Database(t, postgrestest.Shared(t))
	s := open(t, url+"&pool_max_conns=2")
	last := began.AddDate(0, -1, 0)
	put(t, s, login(last, "taro"), login(began, "taro"))

	locker, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := locker.Exec(t.Context(), fmt.Sprintf("BEGIN; LOCK TABLE records_%s IN ACCESS EXCLUSIVE MODE", last.Format("200601"))); err != nil {
		t.Fatal(err)
	}
	reading, stop := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	for range 20 {
		readers.Go(func() {
			_, _ = s.List(reading, history.Query{Filter: history.Filter{Until: began.AddDate(0, 0, -14)}, Limit: 10})
		})
	}
	defer func() {
		stop()
		readers.Wait()
		_ = locker.Close(context.Background())
	}()
	for waiting := 0; waiting < 2; { // as many as may read
		if err := locker.QueryRow(t.Context(), "SELECT count(*) FROM pg_locks WHERE relation = $1::regclass AND NOT granted", "records_"+last.Format("200601")).Scan(&waiting); err != nil {
			t.Fatal(err)
		}
	}

	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second) // less than a statement may take
	defer cancel()
	version, err := s.Version(ctx)
	if err != nil {
		t.Fatalf("the version: %v", err)
	}
	if _, err := s.Put(ctx, []history.Record{login(began.Add(time.Hour), "jiro")}); err != nil {
		t.Errorf("put: %v", err)
	}
	if changes, err := s.Changes(ctx, version, 10); err != nil || len(changes) != 1 {
		t.Errorf("got %d changes, %v", len(changes), err)
	}
	if err := s.Ping(ctx); err != nil {
		t.Errorf("ping: %v", err)
	}
}
