// Command demo tells the story of a relay's user on a real control plane: a device is bound at the first
// login, another one is refused, the administrator reads why and resets, and the new device gets in. It
// shows each command and what that printed, and fails when any of it is not as it should be.
//
// It owns what it starts: every process, port and file of it is gone when it ends, however it ends. It
// must not lend the rights of an administrator to a program or a person that has fewer in a cluster.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

func main() {
	keep := os.Getenv("KEEP")
	os.Exit(demo(os.Stdout, keep != "" && keep != "0"))
}

// demo starts everything, tells the story, waits for Ctrl-C if it is to be kept, and ends everything. It
// returns the exit status.
func demo(out io.Writer, keep bool) int {
	started, screen := time.Now(), newScreen(out)
	tools, err := findTools()
	if err != nil {
		screen.failed(err, "")
		return 1
	}
	signals := notify() // before there is anything to be removed
	c, err := newCluster(tools, screen)
	if err != nil {
		screen.failed(err, "")
		return 1
	}
	ctx, end := interruptible(context.Background(), signals, c.kill)
	defer end(nil)
	c.lost = end

	err = c.play(ctx)
	switch {
	case errors.As(err, new(interruption)):
		screen.ending(err)
	case err != nil:
		screen.failed(err, c.logTails())
		screen.line("\nRun `make demo` again, or `make demo KEEP=1` to look into it. If it fails again, report it with this output.")
	default:
		screen.line("\nEverything was as it should be. It took %.0f s.", time.Since(started).Seconds())
	}
	if keep && ctx.Err() == nil && c.complete() {
		err = errors.Join(err, c.keep(ctx))
	}
	if stopErr := c.stop(); stopErr != nil {
		err = fmt.Errorf("not everything could be removed: %w", stopErr)
		screen.failed(err, "")
	}
	return status(err)
}

// play starts everything and tells the story. What ended ctx meanwhile is the error, not what that broke.
func (c *cluster) play(ctx context.Context) error {
	err := c.start(ctx)
	if err == nil {
		err = c.tell(ctx, story(c))
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// status is the exit status.
func status(err error) int {
	var by interruption
	switch {
	case err == nil:
		return 0
	case errors.As(err, &by):
		return by.status()
	}
	return 1
}
