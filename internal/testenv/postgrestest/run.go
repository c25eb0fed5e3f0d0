package postgrestest

import (
	"context"
	"testing"

	"github.com/tegata-dev/tegata/internal/testenv/sharing"
)

// shared is the server of this test binary, started on the first use.
var shared = sharing.Shared[*Server]{
	Package: "postgrestest",
	Start:   func() (*Server, error) { return Start(context.Background(), Options{}) },
	Stop:    func(s *Server, _ bool) error { return s.Stop() },
}

// Run runs the tests of a package and stops the shared server after them, also on Ctrl-C. It is to be called from
// TestMain, which passes its result to os.Exit.
func Run(m *testing.M) int { return shared.Run(m, func() { shared.End(false) }) }

// Shared is the server of this test binary, which the first call starts. Tests keep apart by databases, and must not
// kill it.
func Shared(t testing.TB) *Server {
	t.Helper()
	s, err := shared.Get(t)
	sharing.FailOrSkip(t, err, ErrMissing)
	return s
}

// New is a server for this test alone, which it may kill. It ends with the test.
func New(t testing.TB, o Options) *Server {
	t.Helper()
	s, err := Start(t.Context(), o)
	sharing.FailOrSkip(t, err, ErrMissing)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the end of the server's log:\n%s", s.logTail())
		}
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// Database is a new, empty database of a server, as a connection string.
func Database(t testing.TB, s *Server) string {
	t.Helper()
	url, err := s.NewDatabase(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return url
}
