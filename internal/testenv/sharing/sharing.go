// Package sharing owns when what all tests of a binary share is started, and that it is stopped, also on Ctrl-C. It knows
// nothing of what that is.
package sharing

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"testing"
)

// Shared is started by the first test that needs it.
type Shared[T any] struct {
	// Package is whose Run TestMain has to call.
	Package string
	Start   func() (T, error)
	// Stop is told whether a test failed.
	Stop func(shared T, failed bool) error

	mu      sync.Mutex
	managed bool // Run has been called, so someone stops it
	started bool
	shared  T
	err     error
}

// Run runs the tests of a package and then ends what they share. What interrupted does comes before the exit on Ctrl-C.
func (s *Shared[T]) Run(m *testing.M, interrupted func()) int {
	s.mu.Lock()
	s.managed = true
	s.mu.Unlock()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		if _, ok := <-signals; ok {
			interrupted()
			os.Exit(130)
		}
	}()
	code := m.Run()
	signal.Stop(signals)
	close(signals)
	s.End(code != 0)
	return code
}

// End stops what was started. Nothing is started again.
func (s *Shared[T]) End(failed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.started && s.err == nil {
		if err := s.Stop(s.shared, failed); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
	s.started, s.err = true, errors.New("the tests are over")
}

// Get is what is shared, or why it could not be started.
func (s *Shared[T]) Get(t testing.TB) (T, error) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.managed {
		t.Fatalf("%[1]s.Shared needs TestMain to call os.Exit(%[1]s.Run(m)), which stops it", s.Package)
	}
	if !s.started {
		s.started = true
		s.shared, s.err = s.Start()
	}
	return s.shared, s.err
}

// FailOrSkip skips a test for an error that is missing, but in CI nothing is ever skipped. Other errors fail it.
func FailOrSkip(t testing.TB, err, missing error) {
	t.Helper()
	switch {
	case err == nil:
	case errors.Is(err, missing) && os.Getenv("CI") != "true":
		t.Skipf("NOT TESTED: %v", err)
	default:
		t.Fatal(err)
	}
}
