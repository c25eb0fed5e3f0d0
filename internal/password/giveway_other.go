//go:build !linux

package password

// giveWay does nothing where a priority is the process's, not the thread's.
func giveWay() (yield func()) { return nil }
