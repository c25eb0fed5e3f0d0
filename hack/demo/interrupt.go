package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// echo is for how long one wish to end may go on arriving: make and timeout pass a signal on to a process
// that a terminal, or they themselves, have sent it to as well.
const echo = 300 * time.Millisecond

var errNobodyReads = errors.New("nobody reads the output any more")

// interruption is the signal that asked the demo to end.
type interruption struct{ syscall.Signal }

func (i interruption) Error() string { return i.String() }

// status is the exit status that a shell expects.
func (i interruption) status() int { return 128 + int(i.Signal) }

// notify holds the signals that ask the demo to end. Without it, SIGPIPE would end this process at once.
func notify() <-chan os.Signal {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	return signals
}

// interruptible is a context that the first signal ends. The next one calls kill and exits at once.
func interruptible(parent context.Context, signals <-chan os.Signal, kill func()) (context.Context, context.CancelCauseFunc) {
	ctx, cancel := context.WithCancelCause(parent)
	go obey(signals, cancel, func(by interruption) {
		kill()
		os.Exit(by.status())
	})
	return ctx, cancel
}

// obey cancels at the first signal and calls kill at the next one that is no echo of it. Of SIGPIPE there
// is one for each line that is still printed.
func obey(signals <-chan os.Signal, cancel context.CancelCauseFunc, kill func(interruption)) {
	var first time.Time
	for s := range signals {
		number, ok := s.(syscall.Signal)
		switch {
		case !ok:
		case number == syscall.SIGPIPE:
			cancel(errNobodyReads)
		case first.IsZero():
			first = time.Now()
			cancel(interruption{number})
		case time.Since(first) >= echo:
			kill(interruption{number})
		}
	}
}
