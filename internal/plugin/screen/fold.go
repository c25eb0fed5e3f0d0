package screen

import (
	"strings"
	"unicode"
)

// foldIndent is how much further the second line of a row that is folded stands.
const foldIndent = 2

// minColumns is the width below which nothing is folded any more: no column would fit.
const minColumns = 40

// Fits says whether a table is no wider than the terminal.
func (t *Terminal) Fits(table *Table, indent string) bool {
	rows := table.whole()
	return t.columns == 0 || t.lineWidth(t.widths(rows), indent) <= t.columns
}

func (t *Terminal) lineWidth(widths []int, indent string) int {
	sum := t.Width(indent) - len(gap)
	for _, width := range widths {
		sum += width + len(gap)
	}
	return sum
}

// Folded prints rows in columns of given widths. Those that the terminal has no room for go to a second line, below the
// first, and the last of them may take more lines. Without a terminal, or on a wide one, it is Lines.
func (t *Terminal) Folded(rows [][]Cell, widths []int, indent string) error {
	if t.columns == 0 || t.lineWidth(widths, indent) <= t.columns {
		return t.Lines(rows, widths, indent)
	}
	var b strings.Builder
	for _, row := range rows {
		below := indent
		for start := 0; start < len(row); {
			end := t.fitting(widths[:len(row)], start, t.columns-t.Width(below))
			t.foldLine(&b, row[start:end], widths[start:end], below, end == len(row))
			start, below = end, indent+strings.Repeat(" ", foldIndent)
		}
	}
	return t.Printf("%s", b.String())
}

// fitting is up to where columns fit on a line; one at least. The last one may be wrapped, so half of a line will do.
func (t *Terminal) fitting(widths []int, start, room int) int {
	sum := 0
	for i := start; i < len(widths); i++ {
		width := widths[i]
		if i == len(widths)-1 && i > start {
			width = min(width, t.columns/2)
		}
		if sum += width; sum > room && i > start {
			return i
		}
		sum += len(gap)
	}
	return len(widths)
}

// foldLine writes one line of a row; what is last of all is wrapped.
func (t *Terminal) foldLine(b *strings.Builder, cells []Cell, widths []int, indent string, last bool) {
	b.WriteString(indent)
	at := t.Width(indent)
	for i, cell := range cells {
		text := t.fit(cell)
		if i < len(cells)-1 {
			b.WriteString(t.Paint(cell.Colour, isolated(text)) + strings.Repeat(" ", max(widths[i]-t.Width(text), 0)) + gap)
			at += widths[i] + len(gap)
			continue
		}
		lines := []string{text}
		if last {
			lines = t.wrap(text, max(t.columns-at, minColumns/2))
		}
		for n, line := range lines {
			if n > 0 {
				b.WriteString("\n" + strings.Repeat(" ", at))
			}
			b.WriteString(t.Paint(cell.Colour, isolated(line)))
		}
	}
	b.WriteByte('\n')
}

// wrap breaks a text into lines of a width: at spaces, and between wide characters, but before no closing mark.
func (t *Terminal) wrap(text string, width int) []string {
	var lines []string
	for t.Width(text) > width {
		at, used, breakAt := 0, 0, 0
		var before rune
		for i, r := range text {
			wide := t.width.RuneWidth(r) == 2
			if i > 0 && (before == ' ' || wide || t.width.RuneWidth(before) == 2) && r != ' ' && !closes(r) && !opens(before) {
				breakAt = i
			}
			if used += t.width.RuneWidth(r); used > width {
				break
			}
			at, before = i+len(string(r)), r
		}
		if breakAt == 0 || breakAt > at {
			breakAt = at
		}
		if breakAt == 0 { // not even one character fits
			break
		}
		lines = append(lines, strings.TrimRight(text[:breakAt], " "))
		text = text[breakAt:]
	}
	return append(lines, text)
}

func opens(r rune) bool { return unicode.Is(unicode.Ps, r) || unicode.Is(unicode.Pi, r) }

func closes(r rune) bool {
	return unicode.Is(unicode.Pe, r) || unicode.Is(unicode.Pf, r) || strings.ContainsRune("、。，．：；！？ー々…", r)
}
