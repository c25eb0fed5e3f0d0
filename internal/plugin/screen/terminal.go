package screen

import (
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/mattn/go-runewidth"
	"golang.org/x/term"

	"github.com/tegata-dev/tegata/internal/plugin/words"
)

// Terminal is where output goes, which may be no terminal.
type Terminal struct {
	out        io.Writer
	isTerminal bool
	colours    bool
	columns    int // 0 where there is no width
	width      *runewidth.Condition
}

// NewTerminal looks at out and at the environment: NO_COLOR and TERM=dumb forbid colour; the locale says how wide
// characters of ambiguous width are, and RUNEWIDTH_EASTASIAN=0 or 1 says otherwise where a terminal does; COLUMNS how
// wide it is, also where there is none.
func NewTerminal(out io.Writer, getenv func(string) string) *Terminal {
	isTerminal := IsTerminal(out)
	eastAsian := words.IsEastAsian(words.Locale(getenv, "LC_CTYPE"))
	switch getenv("RUNEWIDTH_EASTASIAN") {
	case "0":
		eastAsian = false
	case "1":
		eastAsian = true
	}
	return &Terminal{
		out: out, isTerminal: isTerminal,
		columns: columnsOf(out, getenv),
		colours: isTerminal && getenv("NO_COLOR") == "" && getenv("TERM") != "dumb",
		width:   &runewidth.Condition{EastAsianWidth: eastAsian, StrictEmojiNeutral: true},
	}
}

// columnsOf is how wide a terminal is; 0 for none, or one that is too narrow to do anything about it.
func columnsOf(out io.Writer, getenv func(string) string) int {
	columns, err := strconv.Atoi(getenv("COLUMNS"))
	if file, ok := out.(*os.File); err != nil && ok {
		columns, _, err = term.GetSize(int(file.Fd())) //nolint:gosec // a file descriptor
	}
	if err != nil || columns < minColumns {
		return 0
	}
	return columns
}

// IsTerminal says whether a stream is a terminal.
func IsTerminal(stream any) bool {
	file, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(file.Fd())) //nolint:gosec // a file descriptor
}

// Printf prints to the terminal. The caller cleans what it passes.
func (t *Terminal) Printf(format string, args ...any) error {
	_, err := fmt.Fprintf(t.out, format, args...)
	return err
}

// Colour is one of few.
type Colour string

// The colours; None is that of the terminal.
const (
	None   Colour = ""
	Red    Colour = "\x1b[31m"
	Green  Colour = "\x1b[32m"
	Yellow Colour = "\x1b[33m"
	Bold   Colour = "\x1b[1m"
)

// Paint colours a text where colours are wanted.
func (t *Terminal) Paint(c Colour, text string) string {
	if c == None || !t.colours || text == "" {
		return text
	}
	return string(c) + text + "\x1b[0m"
}

// Width is how many columns a text takes.
func (t *Terminal) Width(text string) int { return t.width.StringWidth(text) }

// Shorten cuts a text that takes more columns.
func (t *Terminal) Shorten(text string, columns int) string {
	return t.width.Truncate(text, columns, "…")
}
