package postgres

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tegata-dev/tegata/internal/history"
	"github.com/tegata-dev/tegata/internal/testenv/postgrestest"
)

// TestServerThatHangsLosesTheLock has a history server stop in the middle of a write, as one whose machine was cut
// off: the database ends its transaction, and the others go on.
func TestServerThatHangsLosesTheLock(t *testing.T) {
	url := postgrestest.Database(t, postgrestest.Shared(t))
	hanging, err := Open(t.Context(), url+"&idle_in_transaction_session_timeout=300")
	if err != nil {
		t.Fatal(err)
	}
	defer hanging.Close() //nolint:errcheck // it returns none
	other, err := Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close() //nolint:errcheck // it returns none
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	err = hanging.write(ctx, func(pgx.Tx) error {
		r := history.Record{Namespace: "relays", Server: "asp1", Result: history.Failure, Reason: "Throttled"}
		r.ID = idAt(time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC))
		_, err := other.Put(ctx, []history.Record{r})
		return err
	})
	if err == nil {
		t.Error("the write of a server that hung was committed")
	}
	if ctx.Err() != nil {
		t.Errorf("the other server waited until %v", ctx.Err())
	}
	if page, err := other.List(ctx, history.Query{Limit: 1}); err != nil || len(page.Records) != 1 {
		t.Errorf("got %+v, %v, want what the other server put", page, err)
	}
}

// TestFollowsWithoutNotifications has no connection that listens, and none that could be had.
func TestFollowsWithoutNotifications(t *testing.T) {
	s, err := Open(t.Context(), postgrestest.Database(t, postgrestest.Shared(t)))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // it returns none
	s.listener.close()
	ctx, cancel := context.WithTimeout(t.Context(), lazyPoll/2)
	defer cancel()
	got := make(chan error, 1)
	go func() {
		_, err := s.Changes(ctx, 0, 1)
		got <- err
	}()
	r := history.Record{ID: idAt(time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)), Namespace: "relays", Server: "asp1", Result: history.Failure, Reason: "Throttled"}
	if _, err := s.Put(ctx, []history.Record{r}); err != nil {
		t.Fatal(err)
	}
	if err := <-got; err != nil {
		t.Error(err)
	}
}

func TestMonths(t *testing.T) {
	for name, tc := range map[string]struct {
		at        time.Time
		wantTable string
	}{
		"a moment before a month": {time.Date(2026, 12, 1, 0, 0, 0, -1, time.UTC), "records_202611"},
		"its first moment":        {time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC), "records_202612"},
		"another zone":            {time.Date(2027, 1, 1, 8, 0, 0, 0, time.FixedZone("JST", 9*3600)), "records_202612"},
		"five digits":             {time.Date(10889, 8, 2, 0, 0, 0, 0, time.UTC), "records_1088908"},
	} {
		t.Run(name, func(t *testing.T) {
			m := monthOf(tc.at)
			if m.table() != tc.wantTable {
				t.Errorf("got %s, want %s", m.table(), tc.wantTable)
			}
			if tc.at.Before(m.begin()) || !tc.at.Before((m + 1).begin()) {
				t.Errorf("it begins %s, the next one %s", m.begin(), (m + 1).begin())
			}
		})
	}
}
