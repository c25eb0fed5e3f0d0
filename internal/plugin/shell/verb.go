package shell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tegata-dev/tegata/internal/plugin/screen"
)

// Verb is one command: Complete fills in what was not said, Validate refuses what makes no sense, Run does it.
type Verb interface {
	Complete(args []string) error
	Validate() error
	Run(ctx context.Context) error
}

// Run makes a verb a command's RunE. What Complete and Validate refuse is a usage error.
func (s *Shell) Run(v Verb) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if err := s.Prepare(); err != nil {
			return err
		}
		if err := v.Complete(args); err != nil {
			return Usage(err)
		}
		if err := v.Validate(); err != nil {
			return Usage(err)
		}
		return v.Run(cmd.Context())
	}
}

// Code is an exit code.
type Code int

// The exit codes of all verbs; docs/kubectl-relay.md has them.
const (
	Done     Code = 0
	Failed   Code = 1
	BadUsage Code = 2
	// Declined: the person was asked and said no.
	Declined Code = 3
	// ResetFailed: the DeviceReset was given up.
	ResetFailed Code = 4
	// TimedOut: what was asked for has begun and is not finished.
	TimedOut Code = 5
	// NotFound: there is no such user, attempt or record.
	NotFound Code = 6
	// ResetHelps and SomethingElseHelps are answers of why.
	ResetHelps         Code = 7
	SomethingElseHelps Code = 8
	// Unhealthy: doctor found something to mend.
	Unhealthy Code = 9
)

// codeError ends the program with a code.
type codeError struct {
	code Code
	err  error
}

func (e codeError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e codeError) Unwrap() error { return e.err }

// Exit ends the program with a code, and says err where it is not nil.
func Exit(code Code, err error) error { return codeError{code, err} }

// Exitf is Exit with a message.
func Exitf(code Code, format string, args ...any) error {
	return codeError{code, fmt.Errorf(format, args...)}
}

// Usage marks a mistake in what was typed. An error that has a code keeps it.
func Usage(err error) error {
	if coded := (codeError{}); errors.As(err, &coded) {
		return err
	}
	return codeError{BadUsage, err}
}

// Report tells a person of an error, and returns the exit code for it.
func Report(out io.Writer, err error) Code {
	if err == nil {
		return Done
	}
	code := Failed
	coded := codeError{}
	if errors.As(err, &coded) {
		code = coded.code
		if coded.err == nil {
			return code
		}
	}
	_, _ = fmt.Fprintln(out, "error: "+screen.CleanLines(strings.TrimSpace(err.Error())))
	if hint := hintFor(err); hint != "" {
		_, _ = fmt.Fprintln(out, "hint: "+screen.CleanLines(hint))
	}
	return code
}

// CodeOf is the exit code of an error.
func CodeOf(err error) Code {
	coded := codeError{}
	switch {
	case err == nil:
		return Done
	case errors.As(err, &coded):
		return coded.code
	}
	return Failed
}
