package sqlite_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/tegata-dev/tegata/internal/history"
	"github.com/tegata-dev/tegata/internal/history/conformance"
	"github.com/tegata-dev/tegata/internal/history/sqlite"
)

func open(t *testing.T, dir string) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestConformance(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	conformance.Run(t, func(t *testing.T) history.Store { return open(t, t.TempDir()) })
}
