package screen

import (
	"bufio"
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

// Ask asks a question and returns the line that is typed.
func Ask(in io.Reader, out io.Writer, question string) (string, error) {
	if !IsTerminal(in) {
		return "", ErrNobody
	}
	if _, err := fmt.Fprint(out, question); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(io.LimitReader(in, maxAnswer)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read the answer: %w", err)
	}
	return strings.TrimSpace(line), nil
}

// Confirm asks for a yes. Anything else is a no.
func Confirm(in io.Reader, out io.Writer, question string) (bool, error) {
	answer, err := Ask(in, out, question+" [y/N] ")
	if err != nil {
		return false, err
	}
	switch strings.ToLower(answer) {
	case "y", "yes", "はい", "ｙ", "ok":
		return true, nil
	}
	return false, nil
}

// AskSecret asks for a text that is not shown while it is typed.
func AskSecret(in io.Reader, out io.Writer, question string) ([]byte, error) {
	file, ok := in.(*os.File)
	if !ok || !IsTerminal(in) {
		return nil, ErrNobody
	}
	if _, err := fmt.Fprint(out, question); err != nil {
		return nil, err
	}
	secret, err := term.ReadPassword(int(file.Fd())) //nolint:gosec // a file descriptor
	if _, printErr := fmt.Fprintln(out); err == nil {
		err = printErr
	}
	if err != nil {
		return nil, fmt.Errorf("read the password: %w", err)
	}
	return secret, nil
}
