package main

import (
	"fmt"
	"io"
	"os"
	"strings"
)

// screen is where the demo is read: plain text, with colours on a terminal.
type screen struct {
	io.Writer
	colours bool
}

func newScreen(out io.Writer) *screen {
	return &screen{Writer: out, colours: isTerminal(out) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
}

func isTerminal(out io.Writer) bool {
	file, ok := out.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// line prints a line. That nobody reads is told by SIGPIPE.
func (s *screen) line(format string, args ...any) { _, _ = fmt.Fprintf(s, format+"\n", args...) }

func (s *screen) title(text string) { s.line("\n%s", s.paint("1", text)) }

func (s *screen) command(text string) { s.line("%s", s.paint("36", "$ "+text)) }

// ending says that the demo was asked to end.
func (s *screen) ending(by error) { s.line("\n%s: ending everything that was started.", by) }

// failed prints what went wrong, and what was logged meanwhile, if anything.
func (s *screen) failed(err error, logs string) {
	s.line("\n%s %v", s.paint("1;31", "demo: FAILED:"), err)
	if logs != "" {
		s.line("\n%s", strings.TrimRight(logs, "\n"))
	}
}

func (s *screen) paint(code, text string) string {
	if !s.colours {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}
