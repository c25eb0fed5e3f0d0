package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"
)

// Row is one line of the table.
type Row struct {
	// Measurement is the name of the measurement that it belongs to.
	Measurement string `json:"measurement"`
	What        string `json:"what"`
	Unit        Unit   `json:"unit"`
	Figure      Figure `json:"figure"`
	// Floor is what the figure is compared with, of the same unit; zero when there is nothing.
	Floor Figure `json:"floor,omitempty"`
	// Ratio is Figure by Floor; zero without a floor.
	Ratio float64 `json:"ratio,omitempty"`
	// CPU is the processor time of one request, in nanoseconds, in the process that served it.
	CPU Figure `json:"cpuNanoseconds,omitempty"`
	// Bound is what was promised; nil for a figure that is only told.
	Bound   *Bound  `json:"bound,omitempty"`
	Verdict Verdict `json:"verdict,omitempty"`
	Note    string  `json:"note,omitempty"`
}

// Figure is a number that JSON can hold: one that is no number, or infinite, is null there.
type Figure float64

// MarshalJSON writes null for what JSON has no number for.
func (f Figure) MarshalJSON() ([]byte, error) {
	if v := float64(f); math.IsNaN(v) || math.IsInf(v, 0) {
		return []byte("null"), nil
	}
	return json.Marshal(float64(f))
}

// Verdict says whether a bound was kept.
type Verdict string

const (
	pass Verdict = "PASS"
	fail Verdict = "FAIL"
	// noisy: the machine was so busy that a miss would not have shown. It is no pass.
	noisy Verdict = "NOISY"
)

// Bound is what a row's figure or ratio must keep.
type Bound struct {
	// Of is figure or ratio.
	Of string `json:"of"`
	// Is is at most or at least.
	Is    string  `json:"is"`
	Limit float64 `json:"limit"`
}

const (
	ofFigure = "figure"
	ofRatio  = "ratio"
	atMost   = "at most"
	atLeast  = "at least"
)

func figureAtMost(limit float64) *Bound { return &Bound{ofFigure, atMost, limit} }
func ratioAtMost(limit float64) *Bound  { return &Bound{ofRatio, atMost, limit} }

// judge fills in the ratio and the verdict. What is no number fails: it was not measured.
func (r *Row) judge() {
	if r.Floor != 0 {
		r.Ratio = float64(r.Figure / r.Floor)
	}
	if r.Bound == nil || r.Verdict != "" {
		return
	}
	value := float64(r.Figure)
	if r.Bound.Of == ofRatio {
		value = r.Ratio
	}
	kept := value <= r.Bound.Limit
	if r.Bound.Is == atLeast {
		kept = value >= r.Bound.Limit
	}
	r.Verdict = fail
	if kept {
		r.Verdict = pass
	}
}

// report gathers rows.
type report struct {
	Time    time.Time `json:"time"`
	Go      string    `json:"go"`
	Machine string    `json:"machine"`
	Quick   bool      `json:"quick"`
	Rows    []Row     `json:"rows"`
}

func newReport(o *options) *report {
	return &report{
		Time: time.Now().UTC().Truncate(time.Second), Go: runtime.Version(), Quick: o.quick,
		Machine: fmt.Sprintf("%s/%s, %d cores", runtime.GOOS, runtime.GOARCH, runtime.NumCPU()),
	}
}

func (r *report) add(measurement string, rows []Row) {
	for _, row := range rows {
		row.Measurement = measurement
		row.judge()
		r.Rows = append(r.Rows, row)
	}
}

func (r *report) missed() bool {
	return slices.ContainsFunc(r.Rows, func(row Row) bool { return row.Verdict != "" && row.Verdict != pass })
}

func (r *report) print(w io.Writer) {
	_, _ = fmt.Fprintf(w, "\n%s, %s, %s\n\n", r.Time.Format(time.RFC3339), r.Machine, r.Go)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "MEASUREMENT\tWHAT\tFIGURE\tFLOOR\tRATIO\tCPU/REQUEST\tBOUND\tVERDICT")
	for _, row := range r.Rows {
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", row.Measurement, row.What,
			row.Unit.format(float64(row.Figure)), orDash(row.Floor != 0, row.Unit.format(float64(row.Floor))),
			orDash(row.Ratio != 0, strconv.FormatFloat(row.Ratio, 'f', 3, 64)),
			orDash(row.CPU != 0, nanoseconds.format(float64(row.CPU))),
			orDash(row.Bound != nil, row.bound()), orDash(row.Verdict != "", string(row.Verdict)))
	}
	_ = table.Flush() // what was measured is lost when the terminal is; the exit code is not
	r.printNotes(w)
}

func (r *report) printNotes(w io.Writer) {
	_, _ = fmt.Fprintln(w)
	for _, row := range r.Rows {
		if row.Note != "" {
			_, _ = fmt.Fprintf(w, "%s, %s: %s\n", row.Measurement, row.What, row.Note)
		}
	}
}

func (r *Row) bound() string {
	switch {
	case r.Bound == nil:
		return ""
	case r.Bound.Of == ofRatio:
		return fmt.Sprintf("ratio %s %.3g", r.Bound.Is, r.Bound.Limit)
	}
	return r.Bound.Is + " " + r.Unit.format(r.Bound.Limit)
}

func (r *report) writeJSON(path string) error {
	encoded, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encode figures: %w", err)
	}
	return os.WriteFile(path, append(encoded, '\n'), 0o644)
}

func orDash(there bool, text string) string {
	if there {
		return text
	}
	return "-"
}

// Unit says what a figure counts.
type Unit string

const (
	nanoseconds Unit = "ns"
	bytesUnit   Unit = "B"
	perSecond   Unit = "1/s"
	count       Unit = "count"
	tStatistic  Unit = "|t|"
)

// format writes a figure with three or four digits that mean something.
func (u Unit) format(v float64) string {
	switch u {
	case nanoseconds:
		return scaled(v, 1000, "ns", "µs", "ms", "s")
	case bytesUnit:
		return scaled(v, 1024, "B", "KiB", "MiB", "GiB")
	case perSecond:
		return fmt.Sprintf("%.1f/s", v)
	case tStatistic:
		return fmt.Sprintf("|t| %.2f", v)
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

func scaled(v, base float64, units ...string) string {
	i := 0
	for math.Abs(v) >= base && i < len(units)-1 {
		v /= base
		i++
	}
	if v == math.Trunc(v) {
		return fmt.Sprintf("%.0f %s", v, units[i])
	}
	return fmt.Sprintf("%.4g %s", v, units[i])
}
