package screen

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// ErrNobody says that a question cannot be asked, because the input is not a person's.
var ErrNobody = errors.New("the input is no terminal, so nobody can be asked")

// maxAnswer bounds a typed answer.
const maxAnswer = 1024

// ErrInterrupted says that the person went away from a question.
var ErrInterrupted = errors.New("interrupted: nothing was changed")

// interruptibly reads until ctx ends. A read from a terminal cannot be called off: the goroutine is left behind, and
// the program ends soon.
func interruptibly[T any](ctx context.Context, read func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		value, err := read()
		done <- result{value, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		var zero T
		return zero, ErrInterrupted
	}
}

// Ask asks a question and returns the line that is typed.
func Ask(ctx context.Context, in io.Reader, out io.Writer, question string) (string, error) {
	if !IsTerminal(in) {
		return "", ErrNobody
	}
	if _, err := fmt.Fprint(out, question); err != nil {
		return "", err
	}
	line, err := interruptibly(ctx, func() (string, error) {
		return bufio.NewReader(io.LimitReader(in, maxAnswer)).ReadString('\n')
	})
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read the answer: %w", err)
	}
	return strings.TrimSpace(line), nil
}

// Confirm asks for a yes. Anything else is a no.
func Confirm(ctx context.Context, in io.Reader, out io.Writer, question string) (bool, error) {
	answer, err := Ask(ctx, in, out, question+" [y/N] ")
	if err != nil {
		return false, err
	}
	switch strings.ToLower(answer) {
	case "y", "yes", "はい", "ｙ", "ok":
		return true, nil
	}
	return false, nil
}

// AskSecret asks for a text that is not shown while it is typed. However it ends, the terminal shows what is typed
// afterwards.
func AskSecret(ctx context.Context, in io.Reader, out io.Writer, question string) ([]byte, error) {
	file, ok := in.(*os.File)
	if !ok || !IsTerminal(in) {
		return nil, ErrNobody
	}
	if _, err := fmt.Fprint(out, question); err != nil {
		return nil, err
	}
	fd := int(file.Fd()) //nolint:gosec // a file descriptor
	before, err := term.GetState(fd)
	if err != nil {
		return nil, fmt.Errorf("look at the terminal: %w", err)
	}
	secret, err := interruptibly(ctx, func() ([]byte, error) { return term.ReadPassword(fd) })
	if errors.Is(err, ErrInterrupted) {
		err = errors.Join(err, term.Restore(fd, before))
	}
	if _, printErr := fmt.Fprintln(out); err == nil {
		err = printErr
	}
	if err != nil {
		return nil, fmt.Errorf("read the password: %w", err)
	}
	return secret, nil
}
