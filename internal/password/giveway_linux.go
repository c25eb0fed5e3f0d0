package password

import (
	"time"

	"golang.org/x/sys/unix"
)

// niceness is how much a thread that hashes gives way: of a core that another wants too it gets a quarter at most. Logins
// go on when requests under sessions want all there is.
const niceness = 5

// slice is for how long such a thread wants a core at a time, the least that the system allows: who yields may forgo the
// rest, which of the usual milliseconds would be nearly all. Linux takes it from 6.12 on.
const slice = 100 * time.Microsecond

// giveWay lowers the priority of the calling thread. A system that does not allow even that is none the worse.
func giveWay() {
	_ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), niceness)
	if attr, err := unix.SchedGetAttr(0, 0); err == nil && attr.Policy == unix.SCHED_NORMAL {
		attr.Runtime = uint64(slice)
		_ = unix.SchedSetAttr(0, attr, 0)
	}
}

// yield lets the other threads go first that wait for the calling one's core. Go's scheduler is not told: what hashes
// keeps its processor.
func yield() { _, _, _ = unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0) }
