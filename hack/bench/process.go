package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/procfs"
)

// child is this program in a process of its own, so that its processor time is its own.
type child struct {
	cmd     *exec.Cmd
	stdin   io.Closer
	address string
}

// startChild starts a server and waits for its address. It ends when its standard input does, and so
// with this process, too.
func (l *lab) startChild(ctx context.Context, kind string) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(l.dir, kind+".log"))
	if err != nil {
		return nil, err
	}
	defer log.Close() //nolint:errcheck // the child holds a copy; nothing is written here
	cmd := exec.CommandContext(ctx, self, childCommand, kind)
	cmd.Stderr = log
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", kind, err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s told no address: %w", kind, err), stdin.Close(), cmd.Wait())
	}
	return &child{cmd: cmd, stdin: stdin, address: strings.TrimSpace(line)}, nil
}

func (c *child) stop() error { return errors.Join(c.stdin.Close(), c.cmd.Wait()) }

func (c *child) pid() int { return c.cmd.Process.Pid }

// cpuTime is the processor time of a process so far, user and system, all threads.
func cpuTime(pid int) (time.Duration, error) {
	p, err := procfs.NewProc(pid)
	if err != nil {
		return 0, fmt.Errorf("read processor time (this needs Linux): %w", err)
	}
	stat, err := p.Stat()
	if err != nil {
		return 0, fmt.Errorf("read processor time: %w", err)
	}
	return time.Duration(stat.CPUTime() * float64(time.Second)), nil
}

// ownCPUTime is that of this process, and finer.
func ownCPUTime() (time.Duration, error) {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0, fmt.Errorf("read own processor time: %w", err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()), nil
}

// memoryUse is a process's resident memory now, and the most since it was last reset, in bytes.
func memoryUse(pid int) (now, peak uint64, err error) {
	p, err := procfs.NewProc(pid)
	if err != nil {
		return 0, 0, fmt.Errorf("read memory use (this needs Linux): %w", err)
	}
	status, err := p.NewStatus()
	if err != nil {
		return 0, 0, fmt.Errorf("read memory use: %w", err)
	}
	return status.VmRSS, status.VmHWM, nil
}

// resetPeak makes what a process has resident now its peak (proc(5), clear_refs).
func resetPeak(pid int) error {
	const resetPeakRSS = "5\n"
	path := filepath.Join("/proc", strconv.Itoa(pid), "clear_refs")
	return os.WriteFile(path, []byte(resetPeakRSS), 0o200)
}
