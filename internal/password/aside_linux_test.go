package password

import (
	"runtime"
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
	var yields bool
	v.match = func(_ scheme, _ []byte, mem *arena) bool {
		yields = mem.yield != nil
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
			t.Errorf("a hash is computed at niceness %d, want %d", during, max(niceness, before))
		}
		if got != wanted {
			t.Errorf("a hash has a core for %s at a time, want %s", got, wanted)
		}
		if yields != (wanted == slice) {
			t.Errorf("a hash yields: %t, with turns of %s", yields, wanted)
		}
		if thread == unix.Gettid() {
			t.Error("a hash is computed on the thread of who waits for it")
		}
	}
	if after := nice(t); after != before {
		t.Errorf("who had hashes computed is at niceness %d, was at %d", after, before)
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
