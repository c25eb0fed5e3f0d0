package password

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

func TestHashingGivesWay(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := nice(t)
	v := NewVerifier(Options{Slots: 1})
	var thread, during int
	v.match = func(scheme, []byte, *arena) bool {
		thread, during = unix.Gettid(), nice(t)
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
		if thread == unix.Gettid() {
			t.Error("a hash is computed on the thread of who waits for it")
		}
	}
	if after := nice(t); after != before {
		t.Errorf("who had hashes computed is at niceness %d, was at %d", after, before)
	}
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
