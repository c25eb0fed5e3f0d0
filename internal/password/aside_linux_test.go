package password

import (
	"errors"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestHashingGivesWay(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before, wanted := nice(t), sliceOf(t)
	if canChooseSlice(t) {
		wanted = slice
	}
	v := NewVerifier(Options{Slots: 1})
	var thread, during int
	var got time.Duration
	v.match = func(scheme, []byte, *arena) bool {
		thread, during, got = unix.Gettid(), nice(t), sliceOf(t)
		return false
	}
	for _, hash := range []func() error{
		func() error { _, err := v.Verify(t.Context(), Hash{}, []byte("some password"), Ordinary); return err },
		func() error { _, err := v.Verify(t.Context(), Hash{}, []byte("another one"), Preferred); return err },
	} {
		if err := hash(); err != nil {
			t.Fatal(err)
		}
		if during != max(niceness, before) {
			t.Errorf("a hash is computed at niceness %d, want %d", during, niceness)
		}
		if got != wanted {
			t.Errorf("a hash has a core for %s at a time, want %s", got, wanted)
		}
		if thread == unix.Gettid() {
			t.Error("a hash is computed on the thread of who waits for it")
		}
	}
	if after := nice(t); after != before {
		t.Errorf("who had hashes computed is at niceness %d, was at %d", after, before)
	}
}

// TestHashingTakesShortTurns: on a core that another thread wants all the time, the two change places again and again.
// The system alone has them do so at its ticks, some milliseconds apart.
func TestHashingTakesShortTurns(t *testing.T) {
	var allowed, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		t.Fatal(err)
	}
	for core := 0; one.Count() == 0; core++ {
		if allowed.IsSet(core) {
			one.Set(core)
		}
	}
	var stop atomic.Bool
	ready := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: its core is no other's
		ready <- unix.SchedSetaffinity(0, &one)
		for wanted := true; wanted; { // a loop that does nothing else
			wanted = !stop.Load()
		}
	}()
	defer stop.Store(true)
	if err := <-ready; err != nil {
		t.Fatal(err)
	}

	v := NewVerifier(Options{Slots: 1})
	match := v.match
	var before, after unix.Rusage
	var failed error
	v.match = func(s scheme, input []byte, mem *arena) bool {
		failed = errors.Join(unix.SchedSetaffinity(0, &one), unix.Getrusage(unix.RUSAGE_THREAD, &before))
		defer func() { failed = errors.Join(failed, unix.Getrusage(unix.RUSAGE_THREAD, &after)) }()
		return match(s, input, mem)
	}
	if _, err := v.Verify(t.Context(), Hash{}, []byte("some password"), Ordinary); errors.Join(err, failed) != nil {
		t.Fatal(err, failed)
	}
	turns := after.Nivcsw - before.Nivcsw
	t.Logf("the core was left to another %d times", turns)
	// It may go on while its share is not used up.
	if parts := int64(defaultCost.memory * defaultCost.passes / turnBlocks); turns < parts/8 {
		t.Errorf("a hash has left its core to another %d times, want that after many of its %d parts", turns, parts)
	}
}

// sliceOf is for how long the calling thread wants a core; 0 before Linux 6.12.
func sliceOf(t *testing.T) time.Duration {
	t.Helper()
	attr, err := unix.SchedGetAttr(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	return time.Duration(attr.Runtime) //nolint:gosec // of the size of milliseconds
}

// canChooseSlice tries it on a thread that ends.
func canChooseSlice(t *testing.T) bool {
	t.Helper()
	tried := make(chan time.Duration)
	go func() {
		runtime.LockOSThread()
		if attr, err := unix.SchedGetAttr(0, 0); err == nil {
			attr.Runtime = uint64(slice)
			_ = unix.SchedSetAttr(0, attr, 0)
		}
		tried <- sliceOf(t)
	}()
	return <-tried == slice
}

// nice is the niceness of the calling thread: the system call adds what makes it positive.
func nice(t *testing.T) int {
	t.Helper()
	raised, err := unix.Getpriority(unix.PRIO_PROCESS, unix.Gettid())
	if err != nil {
		t.Fatal(err)
	}
	return 20 - raised
}
