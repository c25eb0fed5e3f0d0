// Package screen owns what reaches the reader's terminal: text without control characters, tables whose columns
// stand under each other whatever the characters' width, colour, questions, and CSV and JSON that neither a
// terminal nor a spreadsheet takes for commands.
//
// What is shown was written by others: people who log in choose names, and whoever has taken a sidecar over
// writes status. So no text of the cluster's may be printed but through Clean, Writer or a Table. The package knows
// no cluster.
package screen

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/bidi"
)

// Clean makes one line of a text, in which what a terminal could obey is spelled out: \x1b, \u202e.
func Clean(text string) string { return clean(text, isUnsafe) }

// CleanLines is Clean for a text that may have several lines.
func CleanLines(text string) string {
	return clean(text, func(r rune) bool { return r != '\n' && r != '\t' && isUnsafe(r) })
}

func clean(text string, unsafe func(rune) bool) string {
	if utf8.ValidString(text) && strings.IndexFunc(text, unsafe) < 0 {
		return text
	}
	var b strings.Builder
	for i, r := range text {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(text[i:], "\ufffd"):
			fmt.Fprintf(&b, `\x%02x`, text[i])
		case !unsafe(r):
			b.WriteRune(r)
		case r < 0x80:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
	}
	return b.String()
}

// isUnsafe says whether a terminal may act on a character or show nothing for it: controls, breaks of lines, and
// format characters, such as those that turn the direction of what follows. The two that join letters in emoji
// and in Indic scripts are safe.
func isUnsafe(r rune) bool {
	const zeroWidthNonJoiner, zeroWidthJoiner = '\u200c', '\u200d'
	switch {
	case r == zeroWidthJoiner || r == zeroWidthNonJoiner:
		return false
	case r < ' ' || r == 0x7f || 0x80 <= r && r < 0xa0:
		return true
	}
	return unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp)
}

// isolated keeps a text that runs from right to left from pulling what stands beside it along.
func isolated(text string) string {
	const firstStrongIsolate, popIsolate = "\u2068", "\u2069"
	for _, r := range text {
		properties, _ := bidi.LookupRune(r)
		if class := properties.Class(); class == bidi.R || class == bidi.AL {
			return firstStrongIsolate + text + popIsolate
		}
	}
	return text
}

// Writer is w, with what a terminal could obey spelled out when w is one. It is for output of which each byte
// matters to a program, and is therefore as it is when a program reads it. It has to end in a line break.
func (t *Terminal) Writer() io.Writer {
	if !t.isTerminal {
		return t.out
	}
	return &cleanWriter{out: t.out}
}

// IsTerminal says whether a person reads what is printed.
func (t *Terminal) IsTerminal() bool { return t.isTerminal }

// cleanWriter cleans line by line: what is written at a time may end in the middle of a character.
type cleanWriter struct {
	out  io.Writer
	rest []byte
}

func (w *cleanWriter) Write(p []byte) (int, error) {
	w.rest = append(w.rest, p...)
	end := bytes.LastIndexByte(w.rest, '\n') + 1
	if _, err := io.WriteString(w.out, CleanLines(string(w.rest[:end]))); err != nil {
		return 0, err
	}
	w.rest = append(w.rest[:0], w.rest[end:]...)
	return len(p), nil
}
