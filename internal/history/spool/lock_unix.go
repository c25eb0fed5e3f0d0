//go:build unix

package spool

import (
	"os"

	"golang.org/x/sys/unix"
)

// flock makes a file ours until it is closed, or the process ends in whatever way.
func flock(f *os.File) error {
	return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) //nolint:gosec // a file descriptor
}
