package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"github.com/tegata-dev/tegata/internal/password"
)

// lab is what measurements work with. What is expensive is started by the first that needs it.
type lab struct {
	*options
	progress io.Writer
	start    time.Time
	dir      string // for logs, removed at the end
	plane    *plane
}

func newLab(o *options, progress io.Writer) (*lab, error) {
	dir, err := os.MkdirTemp("", "tegata-bench-")
	if err != nil {
		return nil, err
	}
	return &lab{options: o, progress: progress, start: time.Now(), dir: dir}, nil
}

// say tells what is being done, so that a long run does not look like a hang.
func (l *lab) say(format string, args ...any) {
	_, _ = fmt.Fprintf(l.progress, "%5.0f s  %s\n", time.Since(l.start).Seconds(), fmt.Sprintf(format, args...))
}

// realPlane is the control plane, which the first call starts.
func (l *lab) realPlane(ctx context.Context) (*plane, error) {
	if l.plane != nil {
		return l.plane, nil
	}
	l.say("building the sidecar and starting a control plane")
	p, err := startPlane(ctx, l.dir)
	if err != nil {
		return nil, err
	}
	l.plane = p
	return p, nil
}

func (l *lab) close() error {
	var err error
	if l.plane != nil {
		err = l.plane.stop()
	}
	return errors.Join(err, os.RemoveAll(l.dir))
}

// scale is how much is measured: full, or little with --quick.
func scale[T any](l *lab, full, quick T) T {
	if l.quick {
		return quick
	}
	return full
}

// hashSlots is how many hashes a sidecar computes at once by default.
func hashSlots() int { return max(1, runtime.GOMAXPROCS(0)-1) }

// newCredential makes a password and its hash of the default parameters.
func newCredential() (plain string, hash password.Hash, err error) {
	plain = password.Generate()
	hash, err = password.New([]byte(plain))
	return plain, hash, err
}
