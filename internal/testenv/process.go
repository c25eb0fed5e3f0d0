package testenv

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/tegata-dev/tegata/internal/testenv/spawner"
)

// readyPoll is how often a starting process is asked whether it is ready.
const readyPoll = 25 * time.Millisecond

// Command describes a program to be started. The program must not fork: its children would outlive it.
type Command struct {
	// Name tells the process from others in messages, and names its log.
	Name string
	// Path is the program, Args are its arguments without the program's name.
	Path string
	Args []string
	// Env is added to the environment of this process.
	Env []string
	// Ready reports nil once the process serves. Without it a process is ready when it has started.
	Ready func(context.Context) error
}

// Process is a child process in a process group of its own, so that Ctrl-C in a terminal does not reach
// it, which the kernel kills when this process dies. It can be paused, killed and started again.
type Process struct {
	command Command
	logPath string
	spawner *spawner.Spawner

	mu     sync.Mutex
	cmd    *exec.Cmd // as it was last started; nil before
	exited chan struct{}
}

var errStopped = errors.New("the control plane is stopped")

// start runs the program and waits until it is ready, or has exited, or ctx ends.
func (p *Process) start(ctx context.Context) error {
	if err := p.spawn(); err != nil {
		return fmt.Errorf("start %s: %w", p.command.Name, err)
	}
	if err := p.awaitReady(ctx); err != nil {
		return fmt.Errorf("start %s: %w\nthe end of %s:\n%s", p.command.Name, err, p.logPath, tail(p.logPath))
	}
	return nil
}

func (p *Process) spawn() error {
	log, err := os.OpenFile(p.logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close() //nolint:errcheck // the child holds a copy; nothing is written here
	cmd := exec.Command(p.command.Path, p.command.Args...)
	cmd.Env = append(os.Environ(), p.command.Env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = ownGroup()

	if err := p.spawner.Start(cmd); err != nil {
		return err
	}
	exited := make(chan struct{})
	p.mu.Lock()
	p.cmd, p.exited = cmd, exited
	p.mu.Unlock()
	go func() {
		_ = cmd.Wait() // how it ended is in cmd.ProcessState, and why in the log
		close(exited)
	}()
	return nil
}

func (p *Process) awaitReady(ctx context.Context) error {
	if p.command.Ready == nil {
		return nil
	}
	cmd, exited := p.current()
	poll := time.NewTicker(readyPoll)
	defer poll.Stop()
	for {
		err := p.command.Ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-exited:
			return fmt.Errorf("exited before it was ready: %s", cmd.ProcessState)
		case <-ctx.Done():
			return fmt.Errorf("not ready: %w (last: %w)", ctx.Err(), err)
		case <-poll.C:
		}
	}
}

// PID is the process id of the program as it was last started; 0 if it never was.
func (p *Process) PID() int {
	cmd, _ := p.current()
	if cmd == nil {
		return 0
	}
	return cmd.Process.Pid
}

// Exited is closed once the program, as it was last started, has ended and been reaped.
func (p *Process) Exited() <-chan struct{} {
	_, exited := p.current()
	return exited
}

func (p *Process) current() (*exec.Cmd, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cmd, p.exited
}

// LogPath is the file that the program's output is appended to, over restarts.
func (p *Process) LogPath() string { return p.logPath }

// Pause stops the program where it is (SIGSTOP): its connections stay open and nothing answers.
func (p *Process) Pause() error { return p.Signal(syscall.SIGSTOP) }

// Resume lets a paused program run on (SIGCONT).
func (p *Process) Resume() error { return p.Signal(syscall.SIGCONT) }

// Signal sends a signal to the program. That it has ended already is os.ErrProcessDone.
func (p *Process) Signal(signal syscall.Signal) error {
	cmd, exited := p.current()
	if cmd == nil {
		return fmt.Errorf("signal %s: %w", p.command.Name, os.ErrProcessDone)
	}
	select {
	case <-exited:
		return fmt.Errorf("signal %s: %w", p.command.Name, os.ErrProcessDone)
	default:
	}
	err := syscall.Kill(-cmd.Process.Pid, signal)
	if errors.Is(err, syscall.ESRCH) {
		err = os.ErrProcessDone
	}
	if err != nil {
		return fmt.Errorf("signal %s: %w", p.command.Name, err)
	}
	return nil
}

// Kill ends the program at once (SIGKILL), paused or not, and returns when it is gone. A program that
// has ended already is no error.
func (p *Process) Kill() error {
	cmd, exited := p.current()
	if cmd == nil {
		return nil
	}
	if err := p.Signal(syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-exited
	return nil
}

// Terminate asks the program to end (SIGTERM), waits for it until ctx ends, and returns an error unless
// it ended with status 0.
func (p *Process) Terminate(ctx context.Context) error {
	if err := p.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	cmd, exited := p.current()
	select {
	case <-exited:
	case <-ctx.Done():
		return fmt.Errorf("terminate %s: %w", p.command.Name, ctx.Err())
	}
	if !cmd.ProcessState.Success() {
		return fmt.Errorf("terminate %s: %s", p.command.Name, cmd.ProcessState)
	}
	return nil
}

// Restart kills the program if it runs, starts it again with the same arguments, so on the same ports
// and data, and waits until it is ready.
func (p *Process) Restart(ctx context.Context) error {
	if err := p.Kill(); err != nil {
		return err
	}
	return p.start(ctx)
}

// tail is the end of a log, for an error message.
func tail(path string) string {
	const lines = 20
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
