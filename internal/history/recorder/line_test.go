package recorder

import (
	"bytes"
	"testing"
	"time"

	"github.com/tegata-dev/tegata/internal/history"
	"github.com/tegata-dev/tegata/internal/history/spool"
)

// TestNoWaitInABacklog: a batch that is short because a file of the spool ends is followed by the next at once, while so
// many wait that waiting would be for nothing.
func TestNoWaitInABacklog(t *testing.T) {
	l := newLine(spool.Options{Dir: t.TempDir(), MaxBytes: spool.MinBytes})
	const waiting = 3 * history.MaxBatch
	now := time.Now()
	var records [][]byte
	for range waiting {
		records = append(records, bytes.Repeat([]byte("x"), 200))
	}
	l.announce(waiting)
	l.add(records, waiting, now)
	if _, err := l.settle(now); err != nil {
		t.Fatal(err)
	}
	defer l.close() //nolint:errcheck // nothing is kept
	short := 0
	for left := waiting; left > 0; {
		b, err := l.take()
		if err != nil || b == nil {
			t.Fatalf("%v, %v with %d records left", b, err, left)
		}
		left -= len(b.records)
		if want := len(b.records) == history.MaxBatch || left >= history.MaxBatch; b.full != want {
			t.Errorf("a batch of %d records with %d behind it: full is %t", len(b.records), left, b.full)
		}
		if len(b.records) < history.MaxBatch && b.full {
			short++
		}
		if err := l.done(b); err != nil {
			t.Fatal(err)
		}
	}
	if short == 0 {
		t.Error("no batch was short: the test tests nothing")
	}
}
