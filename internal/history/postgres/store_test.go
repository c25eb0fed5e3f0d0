package postgres_test

import (
	"os"
	"testing"
	"time"

	"github.com/tegata-dev/tegata/internal/history"
	"github.com/tegata-dev/tegata/internal/history/conformance"
	"github.com/tegata-dev/tegata/internal/history/postgres"
	"github.com/tegata-dev/tegata/internal/testenv/postgrestest"
)

func TestMain(m *testing.M) {
	time.Local = time.FixedZone("Pacific/Kiritimati", 14*3600) // as the server's: months must not depend on it
	os.Exit(postgrestest.Run(m))
}

func TestConformance(t *testing.T) {
	server := postgrestest.Shared(t)
	conformance.Run(t, func(t *testing.T) history.Store { return open(t, postgrestest.Database(t, server)) })
}

// open opens a store. Who wants to close it earlier may.
func open(t testing.TB, url string) *postgres.Store {
	t.Helper()
	s, err := postgres.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// TestUnevenStreams has the newest records in a stream that has few of the month's: what is read of it at first is by
// far too little.
func TestUnevenStreams(t *testing.T) {
	s := open(t, postgrestest.Database(t, postgrestest.Shared(t)))
	var told []history.Record
	for i := range 900 {
		told = append(told, login(began.Add(time.Duration(i)*time.Second), "taro"))
	}
	for i := range 70 {
		told = append(told, denial(began.Add(time.Hour+time.Duration(i)*time.Second), "taro", "DeviceMismatch"))
	}
	put(t, s, told...)
	wantTruth(t, s, told)
	page, err := s.List(t.Context(), history.Query{Filter: history.Filter{Namespace: "relays"}, Limit: 60})
	if err != nil || len(page.Records) != 60 || page.Next != history.PositionOf(&page.Records[59]) {
		t.Fatalf("got %d records and %v, %v; want a full page", len(page.Records), page.Next, err)
	}
	for _, r := range page.Records {
		if r.Result != history.Failure {
			t.Errorf("the page has %s of %s, want the newest", r.Result, r.Start().Time())
		}
	}
}
