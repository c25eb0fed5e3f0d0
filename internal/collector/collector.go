// Package collector paces Go's garbage collector for a process that keeps many users in memory.
//
// It owns the pace. It must not limit memory: that is the operator's to say, by GOMEMLIMIT.
package collector

import (
	"os"
	"runtime/debug"
)

const (
	// percent is how much garbage may pile up beside what is kept. Whenever that much has, the collector reads all
	// that is kept. With 100,000 users and a session each, at Go's own 100, that took a fifth of all processor time.
	percent = 200
	// manyUsers is from how many users on that is worth the memory.
	manyUsers = 10_000
)

// Pace sets the pace for a process that knows so many users, unless the environment does.
func Pace(users int) {
	if users >= manyUsers && os.Getenv("GOGC") == "" {
		debug.SetGCPercent(percent)
	}
}
