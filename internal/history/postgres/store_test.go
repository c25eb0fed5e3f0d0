package postgres_test

import (
	"os"
	"testing"

	"github.com/tegata-dev/tegata/internal/history"
	"github.com/tegata-dev/tegata/internal/history/conformance"
	"github.com/tegata-dev/tegata/internal/history/postgres"
	"github.com/tegata-dev/tegata/internal/testenv/postgrestest"
)

func TestMain(m *testing.M) { os.Exit(postgrestest.Run(m)) }

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
