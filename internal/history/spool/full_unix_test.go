//go:build unix

package spool

import (
	"errors"
	"os/signal"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestDiskFull: what fits is there, what does not is refused whole, and when there is room again it goes on.
func TestDiskFull(t *testing.T) {
	s := newStage(t, MinBytes)
	s.put(10)
	// A limit to the size of this process' files fails writes as a full disk does, in the middle of one.
	signal.Ignore(syscall.SIGXFSZ)
	var unlimited unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &unlimited); err != nil {
		t.Fatal(err)
	}
	limit := func(size uint64) {
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: size, Max: unlimited.Max}); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { limit(unlimited.Cur) })
	limit(uint64(s.segments[0].size) + 500) //nolint:gosec // a size
	var failed error
	for failed == nil {
		if failed = s.Append([][]byte{record(s.next)}, noon); failed == nil {
			s.next++
		}
	}
	if errors.Is(failed, ErrFull) || !errors.Is(failed, syscall.EFBIG) {
		t.Errorf("error %v, want one of the disk", failed)
	}
	for range 3 {
		if s.Append([][]byte{record(s.next), record(s.next + 1), record(96)}, noon) == nil {
			t.Fatal("more was kept than fits")
		}
	}
	if _, bytes := s.files(); bytes != s.Stats().Bytes {
		t.Errorf("%d bytes on disk, and it says %d: half a record is left", bytes, s.Stats().Bytes)
	}
	limit(unlimited.Cur)
	s.put(10)
	s.restart()
	got, damaged, missing := s.drain()
	if err := same(got, span(0, s.next)); err != nil || damaged+missing != 0 {
		t.Errorf("%v; %d damaged, %d missing", err, damaged, missing)
	}
}
