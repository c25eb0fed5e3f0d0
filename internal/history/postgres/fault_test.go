package postgres_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/tegata-dev/tegata/internal/history"
	"github.com/tegata-dev/tegata/internal/history/postgres"
	"github.com/tegata-dev/tegata/internal/testenv/postgrestest"
)

const patience = time.Minute

// until tries again, as a sidecar does, until there is no error.
func until(ctx context.Context, try func() error) error {
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-again.C:
		}
	}
}

// TestKilledUnderLoad kills the server while two stores write batches that overlap. A batch is put until that is
// acknowledged, and never again: what was acknowledged must be there.
func TestKilledUnderLoad(t *testing.T) {
	server := postgrestest.New(t, postgrestest.Options{Durable: true})
	url := postgrestest.Database(t, server)
	stores := []*postgres.Store{open(t, url), open(t, url)}
	told := tellings(600)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()

	var acknowledged, failed atomic.Int64
	var writers sync.WaitGroup
	for _, s := range slices.Concat(stores, stores) {
		mine := slices.Clone(told)
		rand.Shuffle(len(mine), func(i, j int) { mine[i], mine[j] = mine[j], mine[i] })
		writers.Go(func() {
			for batch := range slices.Chunk(mine, 20) {
				err := until(ctx, func() error {
					_, err := s.Put(ctx, batch)
					if err != nil {
						failed.Add(1)
					}
					return err
				})
				if err != nil {
					t.Errorf("put: %v", err)
					return
				}
				acknowledged.Add(1)
			}
		})
	}
	for _, after := range []int64{20, 70, 120} {
		_ = until(ctx, func() error {
			if acknowledged.Load() < after {
				return errors.New("not yet")
			}
			return nil
		})
		if err := server.Restart(ctx); err != nil {
			t.Fatal(err)
		}
	}
	writers.Wait()
	if failed.Load() == 0 {
		t.Error("no write met a server that was away")
	}
	wantTruth(t, stores[0], told)
	wantTruth(t, stores[1], told)
}

func TestServerAway(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	server, err := postgrestest.Start(t.Context(), postgrestest.Options{})
	if errors.Is(err, postgrestest.ErrMissing) {
		postgrestest.Shared(t) // skips, or fails
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	}()
	s, err := postgres.Open(t.Context(), postgrestest.Database(t, server)+"&password=hunter2&connect_timeout=2")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // it returns none
	first, second := login(began, "taro"), login(began, "jiro")
	put(t, s, first)
	version, err := s.Version(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	followed := make(chan error, 1)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	go func() {
		followed <- until(ctx, func() error {
			changes, err := s.Changes(ctx, version, 1)
			if err == nil && (len(changes) != 1 || changes[0].Record != second) {
				t.Errorf("got %+v", changes)
			}
			return err
		})
	}()

	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	_, putErr := s.Put(t.Context(), []history.Record{second})
	_, listErr := s.List(t.Context(), history.Query{Limit: 1})
	_, usageErr := s.Usages(t.Context(), history.UsageQuery{Limit: 1})
	for name, err := range map[string]error{"put": putErr, "list": listErr, "usages": usageErr, "ping": s.Ping(t.Context())} {
		if err == nil {
			t.Errorf("%s: no error while the server is away", name)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error holds the password: %v", name, err)
		}
	}
	if err := server.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	if err := until(ctx, func() error { return s.Ping(ctx) }); err != nil {
		t.Fatal(err)
	}
	put(t, s, second)
	if err := <-followed; err != nil {
		t.Errorf("following: %v", err)
	}
	if got := all(t, s, history.Filter{}); len(got) != 2 {
		t.Errorf("there are %d records, want 2", len(got))
	}
}

func TestTwoStoresOnOneDatabase(t *testing.T) {
	server := postgrestest.Shared(t)
	url := postgrestest.Database(t, server)
	isolation := "ALTER ROLE postgres SET default_transaction_isolation = " // somebody's idea of safety
	if err := server.Exec(t.Context(), "postgres", isolation+"'repeatable read'"); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := server.Exec(context.Background(), "postgres", isolation+"DEFAULT"); err != nil {
			t.Error(err)
		}
	}()
	a, b := open(t, url), open(t, url)
	told := tellings(300)
	var writers sync.WaitGroup
	for _, s := range []*postgres.Store{a, b, a, b} {
		mine := slices.Clone(told)
		rand.Shuffle(len(mine), func(i, j int) { mine[i], mine[j] = mine[j], mine[i] })
		writers.Go(func() {
			for batch := range slices.Chunk(mine, 37) {
				if _, err := s.Put(t.Context(), batch); err != nil {
					t.Errorf("put: %v", err)
				}
			}
		})
	}
	writers.Wait()
	wantTruth(t, a, told)
	wantTruth(t, b, told)

	// What one forgets or expires, the other leaves out.
	if _, err := a.Forget(t.Context(), history.Person{Namespace: "relays", User: "taro"}, began.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if got := put(t, b, login(began, "taro")); got.Dropped != 1 {
		t.Errorf("a record of somebody whom the other store forgot: %+v", got)
	}
	if _, err := a.Expire(t.Context(), "relays", "asp1", time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)); err != nil {
		t.Fatal(err)
	}
	other := login(began, "jiro")
	other.Server = "asp2" // in a month whose partition the other store believes in
	if got := put(t, b, login(began, "jiro"), other); got.Dropped != 1 || got.New != 1 {
		t.Errorf("records of a month that the other store has dropped: %+v", got)
	}
}

// TestOtherStoreIsWoken needs far less than the time after which a follower would look by itself.
func TestOtherStoreIsWoken(t *testing.T) {
	server := postgrestest.Shared(t)
	url := postgrestest.Database(t, server)
	a, b := open(t, url), open(t, url)
	put(t, a, login(began, "taro"))
	for name, cut := range map[string]bool{"told": false, "its listening connection lost": true} {
		t.Run(name, func(t *testing.T) {
			version, err := b.Version(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			got := make(chan error, 1)
			go func() {
				_, err := b.Changes(ctx, version, 1)
				got <- err
			}()
			if cut {
				conn, err := pgx.Connect(ctx, url)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close(ctx) //nolint:errcheck // the test is over
				if _, err := conn.Exec(ctx, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database()"); err != nil {
					t.Fatal(err)
				}
			}
			put(t, a, login(began, "taro"))
			if err := <-got; err != nil {
				t.Error(err)
			}
		})
	}
}

// TestExpireWaitsForNobodyLong has somebody read a month for hours, as a dump does.
func TestExpireWaitsForNobodyLong(t *testing.T) {
	url := postgrestest.Database(t, postgrestest.Shared(t))
	s := open(t, url)
	december := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	old, recent := login(began, "taro"), login(december, "taro")
	put(t, s, old, recent)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background()) //nolint:errcheck // the test is over
	for _, statement := range []string{"BEGIN", "SELECT count(*) FROM records"} {
		if _, err := conn.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	asked := time.Now()
	if n, err := s.Expire(t.Context(), "relays", "asp1", december); err == nil || n != 0 {
		t.Errorf("while a dump reads: got %d, %v, want an error", n, err)
	}
	if waited := time.Since(asked); waited > 15*time.Second { // it is 2 s on a machine that is not busy
		t.Errorf("nobody could write for %s", waited)
	}
	put(t, s, login(december, "jiro")) // others are not kept waiting
	if got := all(t, s, history.Filter{User: "taro"}); len(got) != 2 {
		t.Errorf("taro has %d records, want 2", len(got))
	}
	if _, err := conn.Exec(t.Context(), "COMMIT"); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Expire(t.Context(), "relays", "asp1", december); err != nil || n != 1 {
		t.Errorf("after the dump: got %d, %v, want 1", n, err)
	}
	if got := all(t, s, history.Filter{User: "taro"}); len(got) != 1 || got[0] != recent {
		t.Errorf("got %+v, want the one of December", got)
	}
}
