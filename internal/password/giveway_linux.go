package password

import (
	"time"

	"golang.org/x/sys/unix"
)

const (
	// niceness is how much a thread that hashes gives way: of a core that another wants too it gets a quarter. Logins go
	// on when requests under sessions want all there is, and one who comes to a core that hashes gets it at once.
	niceness = 5
	// slice is for how long such a thread wants a core at a time: who wants it for less comes first, from Linux 6.12 on.
	// The system allows no more.
	slice = 100 * time.Millisecond
)

// giveWay lowers the priority of the calling thread. A system that does not allow even that is none the worse.
func giveWay() {
	_ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), niceness)
	if attr, err := unix.SchedGetAttr(0, 0); err == nil && attr.Policy == unix.SCHED_NORMAL {
		attr.Runtime = uint64(slice)
		_ = unix.SchedSetAttr(0, attr, 0)
	}
}
