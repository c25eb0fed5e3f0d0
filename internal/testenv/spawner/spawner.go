// Package spawner starts child processes that the kernel kills when this process dies. It knows nothing of what they
// are.
package spawner

import (
	"os/exec"
	"runtime"
	"sync"
)

// Spawner starts processes from one OS thread. The kernel ties a parent-death signal to the thread that forked, not
// to the process: on any other thread the Go runtime might end it and with it the children.
type Spawner struct {
	starts  chan func()
	closed  chan struct{}
	once    sync.Once
	stopped error
}

// New makes a Spawner, which answers by stopped once it is closed.
func New(stopped error) *Spawner {
	s := &Spawner{starts: make(chan func()), closed: make(chan struct{}), stopped: stopped}
	go s.run()
	return s
}

func (s *Spawner) run() {
	runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
	for {
		select {
		case start := <-s.starts:
			start()
		case <-s.closed:
			return
		}
	}
}

// Start is cmd.Start on the Spawner's thread.
func (s *Spawner) Start(cmd *exec.Cmd) error {
	result := make(chan error, 1)
	select {
	case s.starts <- func() { result <- cmd.Start() }:
		return <-result
	case <-s.closed:
		return s.stopped
	}
}

// Close ends the thread, and with it what was started meanwhile.
func (s *Spawner) Close() { s.once.Do(func() { close(s.closed) }) }
