package postgrestest

import (
	"errors"
	"os/exec"
	"runtime"
	"sync"
)

// spawner starts processes from one OS thread. The kernel ties a parent-death signal to the thread that forked, not
// to the process: on any other thread the Go runtime might end it and with it the server.
type spawner struct {
	starts chan func()
	closed chan struct{}
	once   sync.Once
}

var errStopped = errors.New("the server is stopped")

func newSpawner() *spawner {
	s := &spawner{starts: make(chan func()), closed: make(chan struct{})}
	go s.run()
	return s
}

func (s *spawner) run() {
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

func (s *spawner) start(cmd *exec.Cmd) error {
	result := make(chan error, 1)
	select {
	case s.starts <- func() { result <- cmd.Start() }:
		return <-result
	case <-s.closed:
		return errStopped
	}
}

func (s *spawner) close() { s.once.Do(func() { close(s.closed) }) }
