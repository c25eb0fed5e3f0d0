package postgres_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tegata-dev/tegata/internal/history"
	"github.com/tegata-dev/tegata/internal/history/postgres"
	"github.com/tegata-dev/tegata/internal/testenv/postgrestest"
)

func TestFiveServersMigrateAtOnce(t *testing.T) {
	url := postgrestest.Database(t, postgrestest.Shared(t))
	var starts sync.WaitGroup
	for range 5 {
		starts.Go(func() {
			s, err := postgres.Open(t.Context(), url)
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Close() //nolint:errcheck // it returns none
			if _, err := s.Put(t.Context(), []history.Record{login(began, "taro")}); err != nil {
				t.Error(err)
			}
		})
	}
	starts.Wait()
	if got := all(t, open(t, url), history.Filter{}); len(got) != 5 {
		t.Errorf("there are %d records, want 5", len(got))
	}
}

func TestNewerDatabaseIsRefused(t *testing.T) {
	url := postgrestest.Database(t, postgrestest.Shared(t))
	open(t, url)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "INSERT INTO schema_versions (version_id, is_applied) VALUES (999, true)"); err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := postgres.Open(t.Context(), url); !errors.Is(err, postgres.ErrNewer) {
		t.Errorf("got %v, want ErrNewer", err)
	}
}

func TestOpenErrorsKeepThePassword(t *testing.T) {
	const password = "hunter2"
	for name, connString := range map[string]string{
		"nobody listens":         "postgres://tegata:" + password + "@127.0.0.1:1/history",
		"no such host":           "host=history.invalid user=tegata password=" + password,
		"bad port":               "postgres://tegata:" + password + "@db:port/history",
		"unfinished quote":       "host=db password='" + password,
		"unencoded slash":        "postgres://tegata:" + password + "/x@db/history",
		"unencoded percent":      "postgres://tegata:%" + password + "@db/history",
		"spaces":                 "postgres://tegata: " + password + " @db/history",
		"not a connection":       password,
		"unknown sslmode":        "host=db sslmode=often password=" + password,
		"bad pool size":          "host=db pool_max_conns=many password=" + password,
		"commit that is no disk": "host=db synchronous_commit=off password=" + password,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := postgres.Open(t.Context(), connString)
			if err == nil {
				t.Fatal("it opens")
			}
			for ; err != nil; err = errors.Unwrap(err) {
				if strings.Contains(err.Error(), password) {
					t.Errorf("the error holds the password: %v", err)
				}
			}
		})
	}
}

// TestHostileText is of what no record can hold, because the database cannot.
func TestHostileText(t *testing.T) {
	s := open(t, postgrestest.Database(t, postgrestest.Shared(t)))
	put(t, s, login(began, "taro"))
	for _, text := range []string{"\x00", "taro\x00", "\xff", "'; DROP TABLE records; --", strings.Repeat("x", 1<<16)} {
		for name, f := range map[string]history.Filter{
			"namespace": {Namespace: text}, "server": {Server: text}, "user": {User: text}, "reason": {Reason: text}, "user name": {UserName: text},
		} {
			if page, err := s.List(t.Context(), history.Query{Filter: f, Limit: 10}); err != nil || len(page.Records) > 0 {
				t.Errorf("%s %.20q: got %+v, %v", name, text, page, err)
			}
		}
		if page, err := s.Usages(t.Context(), history.UsageQuery{Namespace: text, User: text, Limit: 10}); err != nil || len(page.Usages) > 0 {
			t.Errorf("usages of %.20q: got %+v, %v", text, page, err)
		}
		if _, err := s.Get(t.Context(), text, history.ID{}); !errors.Is(err, history.ErrNotFound) {
			t.Errorf("get in %.20q: %v", text, err)
		}
	}
	bad := login(began, "ji\x00ro")
	if _, err := s.Put(t.Context(), []history.Record{login(began, "jiro"), bad}); err == nil {
		t.Error("a text that the database cannot hold is kept")
	}
	if got := all(t, s, history.Filter{}); len(got) != 1 {
		t.Errorf("there are %d records, want the 1 of before: all of a batch or nothing", len(got))
	}
}

// TestMadeUpReasons is a sidecar that would have each page merge thousands of streams.
func TestMadeUpReasons(t *testing.T) {
	s := open(t, postgrestest.Database(t, postgrestest.Shared(t)))
	var records []history.Record
	for i := range 300 {
		records = append(records, denial(began, "taro", "Reason"+strings.Repeat("x", i%20)+strings.Repeat("y", i/20)))
	}
	if _, err := s.Put(t.Context(), records); err == nil {
		t.Error("300 reasons are kept")
	}
	put(t, s, records[:30]...)
}

// TestOwnSchemaSuffices has a user without any right but to a schema of a database that is shared with others.
func TestOwnSchemaSuffices(t *testing.T) {
	server := postgrestest.Shared(t)
	url := postgrestest.Database(t, server)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context()) //nolint:errcheck // the test is over
	for _, statement := range []string{"CREATE ROLE tegata_history LOGIN", "CREATE SCHEMA history AUTHORIZATION tegata_history", "REVOKE ALL ON SCHEMA public FROM PUBLIC"} {
		if _, err := conn.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	s := open(t, strings.Replace(url, "user=postgres", "user=tegata_history", 1)+"&search_path=history\n")
	put(t, s, login(began, "taro"), login(began.AddDate(0, 1, 0), "taro"))
	if n, err := s.Expire(t.Context(), "relays", "asp1", began.AddDate(0, 1, 0)); n != 1 || err != nil {
		t.Errorf("expire: got %d, %v, want 1", n, err)
	}
	if n, err := s.Forget(t.Context(), history.Person{Namespace: "relays", User: "taro"}, began); n != 1 || err != nil {
		t.Errorf("forget: got %d, %v, want 1", n, err)
	}
	var public int
	if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").Scan(&public); err != nil || public != 0 {
		t.Errorf("%d tables are in the public schema, %v", public, err)
	}
}

// TestNothingOfAForgottenUserIsLeft looks through every table, as a dump would.
func TestNothingOfAForgottenUserIsLeft(t *testing.T) {
	url := postgrestest.Database(t, postgrestest.Shared(t))
	s := open(t, url)
	r := login(began, "saburo-who-left")
	r.Destination, r.SourceAddress, r.MACAddress = "desk-saburo", "203.0.113.77", "02:00:00:00:00:77"
	seen := r
	seen.LastSeen = r.Start() + 1000
	once := login(began, "taro")
	partial := once
	partial.Partial, partial.User, partial.UserName = true, "jiro-it-was-thought", ""
	put(t, s, r, partial)
	put(t, s, seen, once)
	if n, err := s.Forget(t.Context(), history.Person{Namespace: "relays", User: partial.User}, began.Add(time.Hour)); n != 0 || err != nil {
		t.Fatalf("got %d, %v, want 0", n, err)
	}
	if found(t, url, partial.User) {
		t.Error("whose record it was once thought to be is still in the database")
	}
	traces := []string{"saburo", "203.0.113.77", "02:00:00:00:00:77"}
	if !found(t, url, traces[0]) {
		t.Fatal("the test finds nothing where there is something")
	}
	if n, err := s.Forget(t.Context(), history.Person{Namespace: "relays", User: r.User, UserName: r.UserName}, began.Add(time.Hour)); n != 1 || err != nil {
		t.Fatalf("got %d, %v, want 1", n, err)
	}
	for _, trace := range traces {
		if found(t, url, trace) {
			t.Errorf("%s is still in the database", trace)
		}
	}
}

// found says whether a text is in any row of any table.
func found(t *testing.T, url, text string) bool {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context()) //nolint:errcheck // it was only read
	rows, err := conn.Query(t.Context(), "SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public'")
	if err != nil {
		t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range tables {
		var n int
		// bytea is shown in hex
		if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM "+table+" AS t WHERE strpos(t::text, $1) > 0 OR strpos(t::text, encode($1::bytea, 'hex')) > 0", text).Scan(&n); err != nil {
			t.Fatal(err)
		}
		if n > 0 {
			return true
		}
	}
	return false
}
