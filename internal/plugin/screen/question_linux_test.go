package screen_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tegata-dev/tegata/internal/plugin/screen"
)

// pty is a terminal with a person at it.
func pty(t *testing.T) (person, terminal *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = person.Close() })
	fd := int(person.Fd()) //nolint:gosec // a file descriptor
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = terminal.Close() })
	return person, terminal
}

// echoes says whether a terminal shows what is typed.
func echoes(t *testing.T, terminal *os.File) bool {
	t.Helper()
	state, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS) //nolint:gosec // a file descriptor
	if err != nil {
		t.Fatal(err)
	}
	return state.Lflag&unix.ECHO != 0
}

func TestAskSecretShowsNothing(t *testing.T) {
	person, terminal := pty(t)
	type answer struct {
		secret []byte
		err    error
	}
	answered := make(chan answer, 1)
	go func() {
		secret, err := screen.AskSecret(t.Context(), terminal, terminal, "Password: ")
		answered <- answer{secret, err}
	}()
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for deadline := time.After(10 * time.Second); echoes(t, terminal); {
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatal("the terminal still shows what is typed")
		}
	}
	if _, err := person.WriteString("correct-horse\n"); err != nil {
		t.Fatal(err)
	}
	got := <-answered
	if got.err != nil || string(got.secret) != "correct-horse" {
		t.Fatalf("got %q, %v", got.secret, got.err)
	}
	if _, err := terminal.WriteString("end\n"); err != nil {
		t.Fatal(err)
	}
	var shown bytes.Buffer
	buffer := make([]byte, 256)
	for !strings.Contains(shown.String(), "end") {
		n, err := person.Read(buffer)
		if err != nil {
			t.Fatal(err)
		}
		shown.Write(buffer[:n])
	}
	if strings.Contains(shown.String(), "horse") || !strings.HasPrefix(shown.String(), "Password: ") {
		t.Errorf("the terminal shows %q", shown.String())
	}
	if !echoes(t, terminal) {
		t.Error("the terminal does not show what is typed afterwards")
	}
}

// TestInterruptedQuestion: Ctrl-C at a question ends it, and the terminal is as before.
func TestInterruptedQuestion(t *testing.T) {
	_, terminal := pty(t)
	ctx, cancel := context.WithCancel(t.Context())
	answered := make(chan error, 1)
	go func() {
		_, err := screen.AskSecret(ctx, terminal, io.Discard, "Password: ")
		answered <- err
	}()
	for echoes(t, terminal) {
		runtime.Gosched()
	}
	cancel()
	if err := <-answered; !errors.Is(err, screen.ErrInterrupted) {
		t.Errorf("got %v", err)
	}
	if !echoes(t, terminal) {
		t.Error("the terminal does not show what is typed afterwards")
	}
}

func TestConfirmTakesOnlyAYes(t *testing.T) {
	for typed, want := range map[string]bool{"y": true, "YES": true, "はい": true, "n": false, "": false, "yesterday": false} {
		person, terminal := pty(t)
		if _, err := person.WriteString(typed + "\n"); err != nil {
			t.Fatal(err)
		}
		if got, err := screen.Confirm(t.Context(), terminal, io.Discard, "Sure?"); err != nil || got != want {
			t.Errorf("%q: got %v, %v, want %v", typed, got, err, want)
		}
	}
	if _, err := screen.Confirm(t.Context(), strings.NewReader("y\n"), io.Discard, "Sure?"); !errors.Is(err, screen.ErrNobody) {
		t.Errorf("a pipe is asked: %v", err)
	}
}

// TestColourIsForTerminals: a terminal gets colours and clean text, a file neither.
func TestColourIsForTerminals(t *testing.T) {
	_, terminal := pty(t)
	for name, tc := range map[string]struct {
		out  io.Writer
		env  map[string]string
		want string
	}{
		"terminal": {terminal, nil, "\x1b[31mx\x1b[0m"},
		"NO_COLOR": {terminal, map[string]string{"NO_COLOR": "1"}, "x"},
		"dumb":     {terminal, map[string]string{"TERM": "dumb"}, "x"},
		"file":     {io.Discard, nil, "x"},
	} {
		got := screen.NewTerminal(tc.out, func(key string) string { return tc.env[key] }).Paint(screen.Red, "x")
		if got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
	var file bytes.Buffer
	if _, err := screen.NewTerminal(&file, func(string) string { return "" }).Writer().Write([]byte("\x1b[2J\n")); err != nil || file.String() != "\x1b[2J\n" {
		t.Errorf("a file gets %q, %v", file.String(), err)
	}
}

func TestWriterCleansWhatATerminalShows(t *testing.T) {
	person, terminal := pty(t)
	w := screen.NewTerminal(terminal, func(string) string { return "" }).Writer()
	for _, part := range []string{"a\x1b", "[2J\xe5", "\xb1\xb1\n"} { // 山 in two parts
		if _, err := io.WriteString(w, part); err != nil {
			t.Fatal(err)
		}
	}
	buffer := make([]byte, 256)
	n, err := person.Read(buffer)
	if want := `a\x1b[2J山` + "\r\n"; err != nil || string(buffer[:n]) != want {
		t.Errorf("the terminal shows %q, %v, want %q", buffer[:n], err, want)
	}
}
