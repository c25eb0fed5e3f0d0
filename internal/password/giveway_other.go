//go:build !linux

package password

// giveWay does nothing where a priority is the process's, not the thread's.
func giveWay() {}

// yield does nothing: the system's own turns have to do.
func yield() {}
