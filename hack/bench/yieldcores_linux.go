package main

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// yieldCores leaves the cores to whoever else wants them, at once. It is for each thread: Linux knows no other way, and
// threads that come inherit it. Low priority alone would do no good: who is woken for a microsecond would still wait
// for the turn of some milliseconds to be over that a thread of low priority has begun.
func yieldCores() error {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	for _, thread := range threads {
		id, err := strconv.Atoi(thread.Name())
		if err == nil {
			err = unix.SchedSetAttr(id, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_IDLE}, 0)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
