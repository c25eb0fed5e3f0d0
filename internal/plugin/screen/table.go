package screen

import "strings"

// maxColumns is how wide a cell may be: beyond it, text is cut. Machines read -o json.
const maxColumns = 48

// gap separates columns.
const gap = "  "

// Cell is a text in a table, which is cleaned. Whole cells are never cut.
type Cell struct {
	Text   string
	Colour Colour
	Whole  bool
}

// Table has a line of headings, or none, and rows.
type Table struct {
	Headings []string
	// Fold has rows that are wider than the terminal take several lines.
	Fold bool
	rows [][]Cell
}

// Row adds a row of plain cells.
func (t *Table) Row(texts ...string) {
	row := make([]Cell, len(texts))
	for i, text := range texts {
		row[i].Text = text
	}
	t.rows = append(t.rows, row)
}

// Cells adds a row.
func (t *Table) Cells(row ...Cell) { t.rows = append(t.rows, row) }

// Len is how many rows there are.
func (t *Table) Len() int { return len(t.rows) }

// Print prints the table, each line behind the indent.
func (t *Terminal) Print(table *Table, indent string) error {
	rows := table.whole()
	if table.Fold {
		return t.Folded(rows, t.widths(rows), indent)
	}
	return t.Lines(rows, t.widths(rows), indent)
}

// whole are the rows, with that of the headings.
func (t *Table) whole() [][]Cell {
	if len(t.Headings) == 0 {
		return t.rows
	}
	head := make([]Cell, len(t.Headings))
	for i, heading := range t.Headings {
		head[i] = Cell{Text: heading, Colour: Bold}
	}
	return append([][]Cell{head}, t.rows...)
}

// Lines prints rows in columns of given widths; the last one is not padded.
func (t *Terminal) Lines(rows [][]Cell, widths []int, indent string) error {
	var b strings.Builder
	for _, row := range rows {
		b.WriteString(indent)
		for i, cell := range row {
			text := t.fit(cell)
			b.WriteString(t.Paint(cell.Colour, isolated(text)))
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", max(widths[i]-t.Width(text), 0)) + gap)
			}
		}
		b.WriteByte('\n')
	}
	return t.Printf("%s", b.String())
}

func (t *Terminal) widths(rows [][]Cell) []int {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], t.Width(t.fit(cell)))
		}
	}
	return widths
}

func (t *Terminal) fit(cell Cell) string {
	text := Clean(cell.Text)
	if cell.Whole {
		return text
	}
	return t.Shorten(text, maxColumns)
}
