package password

import (
	"time"

	"golang.org/x/sys/unix"
)

const (
	// niceness is how much a thread that hashes gives way: of a core that another wants too it gets a quarter. Logins go
	// on when requests under sessions want all there is.
	niceness = 5
	// slice is for how long such a thread wants a core at a time, the least that Linux allows, from 6.12 on. Who yields
	// may forgo the rest of it: of the usual milliseconds, that would be nearly all.
	slice = 100 * time.Microsecond
)

// giveWay lowers the priority of the calling thread. A system that does not allow even that is none the worse. It
// returns what lets the threads go first that wait for its core, nil where the thread has no short turns to forgo.
func giveWay() (yield func()) {
	attr, err := unix.SchedGetAttr(0, 0)
	if err != nil || attr.Policy != unix.SCHED_NORMAL {
		_ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), niceness)
		return nil
	}
	attr.Nice = max(attr.Nice, niceness)
	attr.Runtime = uint64(slice)
	if err := unix.SchedSetAttr(0, attr, 0); err != nil {
		_ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), int(attr.Nice))
		return nil
	}
	if got, err := unix.SchedGetAttr(0, 0); err != nil || got.Runtime != attr.Runtime {
		return nil
	}
	return schedYield
}

// schedYield does not tell Go's scheduler: what hashes keeps its processor.
func schedYield() { _, _, _ = unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0) }
