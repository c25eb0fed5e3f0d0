package password

import "golang.org/x/sys/unix"

// niceness is how much a thread that hashes gives way: of a core that another wants too it gets a quarter. Logins go on
// when requests under sessions want all there is, and one who comes to a core that hashes gets it at once.
const niceness = 5

// giveWay lowers the priority of the calling thread. A system that does not allow even that is none the worse.
func giveWay() { _ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), niceness) }
