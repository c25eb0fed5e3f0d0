package history

import (
	"context"
	"encoding/csv"
	"io"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	historyv1alpha1 "github.com/tegata-dev/tegata/api/history/v1alpha1"
	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/plugin/screen"
)

// lines are JSON Lines: one object a line.
type lines struct{ out io.Writer }

func (l *lines) records(page []historyv1alpha1.AccessRecord) error {
	for i := range page {
		if err := l.change(&page[i]); err != nil {
			return err
		}
	}
	return nil
}

func (l *lines) end(context.Context, bool) error { return nil }

func (l *lines) change(r *historyv1alpha1.AccessRecord) error {
	line, err := encode(r)
	if err != nil {
		return err
	}
	_, err = l.out.Write(line)
	return err
}

func encode(r *historyv1alpha1.AccessRecord) ([]byte, error) {
	r.SetGroupVersionKind(historyv1alpha1.GroupVersion.WithKind("AccessRecord")) // a list does not say it of each
	return screen.JSON(r)
}

// document is one JSON list, as kubectl prints it, written as it is read.
type document struct {
	out   io.Writer
	begun bool
}

func (d *document) records(page []historyv1alpha1.AccessRecord) error {
	for i := range page {
		line, err := encode(&page[i])
		if err != nil {
			return err
		}
		if err := d.write(line); err != nil {
			return err
		}
	}
	return nil
}

func (d *document) write(line []byte) error {
	before := ",\n"
	if !d.begun {
		d.begun = true
		before = `{"kind":"AccessRecordList","apiVersion":"` + historyv1alpha1.GroupVersion.String() + `","items":[` + "\n"
	}
	_, err := d.out.Write(append([]byte(before), line[:max(len(line)-1, 0)]...))
	return err
}

func (d *document) end(context.Context, bool) error {
	if !d.begun {
		if err := d.write(nil); err != nil {
			return err
		}
	}
	_, err := io.WriteString(d.out, "\n]}\n")
	return err
}

func (d *document) change(*historyv1alpha1.AccessRecord) error { return nil }

// sheet is CSV (RFC 4180) of which a spreadsheet computes nothing.
type sheet struct {
	*options
	out *csv.Writer
	raw io.Writer
}

var sheetColumns = []string{
	"id", "user", "userName", "server", "program", "viewer", "slot", "startTime", "endTime", "durationSeconds", "state", "end",
	"result", "reason", "message", "enrolled", "sourceAddress", "macAddress", "destination", "sourceViewer", "listener", "sidecar",
	"correlationID", "deviceDigest",
}

func newSheet(o *options) *sheet {
	s := &sheet{options: o, raw: o.Terminal.Writer()}
	s.out = csv.NewWriter(s.raw)
	s.out.Comma, _ = screen.Delimiter(o.comma) // it is valid
	s.out.UseCRLF = !o.Terminal.IsTerminal()
	return s
}

func (s *sheet) records(page []historyv1alpha1.AccessRecord) error {
	if err := s.head(); err != nil {
		return err
	}
	for i := range page {
		if err := s.out.Write(s.row(&page[i])); err != nil {
			return err
		}
	}
	s.out.Flush()
	return s.out.Error()
}

// head writes the first line, once.
func (s *sheet) head() error {
	if s.raw == nil {
		return nil
	}
	if s.bom {
		if _, err := io.WriteString(s.raw, "\ufeff"); err != nil {
			return err
		}
	}
	s.raw = nil
	return s.out.Write(sheetColumns)
}

func (s *sheet) end(context.Context, bool) error { return s.records(nil) }

func (s *sheet) change(r *historyv1alpha1.AccessRecord) error {
	return s.records([]historyv1alpha1.AccessRecord{*r})
}

func (s *sheet) row(r *historyv1alpha1.AccessRecord) []string {
	seconds, message := "", ""
	if r.Duration != nil {
		seconds = strconv.FormatFloat(r.Duration.Seconds(), 'f', -1, 64)
	}
	if r.Reason != "" {
		message = s.Lang.Reason(v1alpha1.Reason(r.Reason))
	}
	row := []string{
		r.Name, r.User, r.UserName, r.Server, r.Program, r.Viewer, r.Slot, s.time(&r.StartTime), s.time(r.EndTime), seconds,
		string(r.State), string(r.End), string(r.Result), r.Reason, message, strconv.FormatBool(r.Enrolled),
		r.SourceAddress, r.MACAddress, r.Destination, r.SourceViewer, r.Listener, r.Sidecar, r.CorrelationID, r.DeviceDigest,
	}
	for i := range row {
		row[i] = screen.CSVField(row[i])
	}
	return row
}

// time is in the reader's zone, with its offset.
func (s *sheet) time(t *metav1.MicroTime) string {
	if t == nil || t.IsZero() {
		return ""
	}
	return s.Local(t.Time).Format(time.RFC3339Nano)
}
