package postgrestest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"testing"
)

// shared is the server of this test binary, started on the first use.
var shared struct {
	mu      sync.Mutex
	managed bool // Run has been called, so someone stops it
	server  *Server
	err     error
}

// Run runs the tests of a package and stops the shared server after them, also on Ctrl-C. It is to be called from
// TestMain, which passes its result to os.Exit.
func Run(m *testing.M) int {
	shared.mu.Lock()
	shared.managed = true
	shared.mu.Unlock()
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM)
	go func() {
		if _, ok := <-interrupted; ok {
			stopShared()
			os.Exit(130)
		}
	}()
	code := m.Run()
	signal.Stop(interrupted)
	close(interrupted)
	stopShared()
	return code
}

func stopShared() {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.server == nil {
		return
	}
	if err := shared.server.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	shared.server, shared.err = nil, errors.New("the tests are over")
}

// Shared is the server of this test binary, which the first call starts. Tests keep apart by databases, and must not
// kill it.
func Shared(t testing.TB) *Server {
	t.Helper()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if !shared.managed {
		t.Fatal("postgrestest.Shared needs TestMain to call os.Exit(postgrestest.Run(m)), which stops it")
	}
	if shared.server == nil && shared.err == nil {
		shared.server, shared.err = Start(context.Background(), Options{})
	}
	failOrSkip(t, shared.err)
	return shared.server
}

// New is a server for this test alone, which it may kill. It ends with the test.
func New(t testing.TB, o Options) *Server {
	t.Helper()
	s, err := Start(t.Context(), o)
	failOrSkip(t, err)
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

// failOrSkip skips where PostgreSQL is absent, but in CI nothing is ever skipped.
func failOrSkip(t testing.TB, err error) {
	t.Helper()
	switch {
	case err == nil:
	case errors.Is(err, ErrMissing) && os.Getenv("CI") != "true":
		t.Skipf("NOT TESTED: %v", err)
	default:
		t.Fatal(err)
	}
}
