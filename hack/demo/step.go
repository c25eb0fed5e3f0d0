package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// commandTimeout bounds one command of the story.
const commandTimeout = time.Minute

// retryInterval is how often it is looked for what is about to come.
const retryInterval = 200 * time.Millisecond

// step is a piece of the story: what happens, in a sentence or two, and what is done.
type step struct {
	title string
	acts  []act
}

// act does something, shows it, and reports when it did not go as the story has it.
type act func(ctx context.Context, c *cluster) error

// check judges what a command printed.
type check func(output string) error

func (c *cluster) tell(ctx context.Context, steps []step) error {
	for i, s := range steps {
		c.screen.title(fmt.Sprintf("%d. %s", i+1, s.title))
		for _, do := range s.acts {
			if err := do(ctx, c); err != nil {
				return fmt.Errorf("step %d: %w", i+1, err)
			}
		}
	}
	return nil
}

// run shows a command, runs it and shows what it prints. It must succeed, and print what checks want.
func run(line string, checks ...check) act { return runExpecting(0, line, checks...) }

// runExpecting is run for a command that must end with that status.
func runExpecting(status int, line string, checks ...check) act {
	return func(ctx context.Context, c *cluster) error {
		c.screen.command(line)
		output, got, err := c.shell(ctx, line, c.screen)
		if output != "" && !strings.HasSuffix(output, "\n") {
			c.screen.line("")
		}
		if err != nil {
			return fmt.Errorf("%s: %w", line, err)
		}
		if got != status {
			return fmt.Errorf("`%s` ended with status %d, not %d", line, got, status)
		}
		for _, check := range checks {
			if err := check(output); err != nil {
				return fmt.Errorf("`%s`: %w", line, err)
			}
		}
		return nil
	}
}

// eventually is run for what comes a moment after what it tells of.
func eventually(line string, checks ...check) act {
	return func(ctx context.Context, c *cluster) error {
		wait, cancel := context.WithTimeout(ctx, commandTimeout)
		defer cancel()
		for !c.shows(wait, line, checks) && wait.Err() == nil {
			<-time.After(retryInterval)
		}
		return run(line, checks...)(ctx, c)
	}
}

func (c *cluster) shows(ctx context.Context, line string, checks []check) bool {
	output, status, err := c.shell(ctx, line, io.Discard)
	return err == nil && status == 0 && !slices.ContainsFunc(checks, func(check check) bool { return check(output) != nil })
}

// says wants a text in the output. Blanks count as one, so that a row of a table is a text.
func says(want string) check {
	return func(output string) error {
		if !strings.Contains(strings.Join(strings.Fields(output), " "), want) {
			return fmt.Errorf("it should have printed %q", want)
		}
		return nil
	}
}

// sameLines wants so many lines that are all the same.
func sameLines(want int) check {
	return func(output string) error {
		lines := strings.Split(strings.TrimSpace(output), "\n")
		for _, line := range lines {
			if len(lines) != want || line != lines[0] {
				return fmt.Errorf("it should have printed %d times the same line", want)
			}
		}
		return nil
	}
}

// shell runs a line as a person would in the root of the repository, with what it prints going to out
// too. The error is for a command that could not be run; its status is no error.
func (c *cluster) shell(ctx context.Context, line string, out io.Writer) (output string, status int, err error) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	var printed bytes.Buffer
	cmd := exec.CommandContext(ctx, "sh", "-c", line)
	cmd.Dir, cmd.Env = c.tools.root, c.environment()
	cmd.Stdout = io.MultiWriter(&printed, out)
	cmd.Stderr = cmd.Stdout
	// A group of its own: Ctrl-C is for this process to act on, and all of a pipeline ends together.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	err = cmd.Run()
	if ctx.Err() != nil {
		return printed.String(), 0, fmt.Errorf("not done: %w", ctx.Err())
	}
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		return printed.String(), exit.ExitCode(), nil
	}
	return printed.String(), 0, err
}

// environment makes a shell's own settings, its user's proxies and his .curlrc not matter.
func (c *cluster) environment() []string {
	return append(os.Environ(),
		"PATH="+strings.Join([]string{c.tools.assets, filepath.Dir(c.tools.plugin), os.Getenv("PATH")}, string(os.PathListSeparator)),
		"KUBECONFIG="+c.kubeconfig(),
		"HOME="+c.dir, "CURL_HOME="+c.dir, "XDG_CONFIG_HOME="+c.dir, "KUBERC=off", "KUBECACHEDIR="+c.file("kubectl-cache"),
		"NO_PROXY=127.0.0.1", "no_proxy=127.0.0.1", "LC_ALL=C.UTF-8",
	)
}
