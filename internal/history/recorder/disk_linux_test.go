package recorder

import (
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tegata-dev/tegata/internal/history"
	"github.com/tegata-dev/tegata/internal/history/spool"
	"github.com/tegata-dev/tegata/internal/testenv/smalldisk"
)

const diskBytes = 1 << 20

// once says whether a server has each record once, in order, and so many in all.
func (s *server) once(count int) error {
	ids := s.ids()
	if len(ids) != count {
		return fmt.Errorf("%d records arrived, want %d", len(ids), count)
	}
	if !slices.IsSortedFunc(ids, history.ID.Compare) {
		return errors.New("they are not in order")
	}
	return nil
}

// TestDiskFull: a disk that others have filled. What fits waits on it, some more in memory; what is lost beyond that is
// counted, nobody waits, and when there is room again, or the server is back, all that was kept arrives once.
func TestDiskFull(t *testing.T) {
	smalldisk.Run(t, diskBytes, func(t *testing.T, d *smalldisk.Disk) {
		s := newServer(t)
		s.answers(status(http.StatusServiceUnavailable))
		o := spool.Options{Dir: filepath.Join(d.Dir, "spool"), MaxBytes: 16 << 20}
		r := run(t, s.client(), o)
		r.put(100)
		r.written()
		free := d.Fill(200 << 10)
		r.overflow(10)
		if cause := r.line.obstacle(); cause != DiskFailed {
			t.Errorf("the obstacle is %s", cause)
		}
		lost := int(r.State().Lost)
		kept := r.next - lost
		free()
		r.written()
		r.put(100)
		r.written()
		if again := int(r.State().Lost); again != lost {
			t.Errorf("%d are lost, and %d while there was room", lost, again-lost)
		}

		defer d.Fill(0)() // neither a file nor what was sent can be noted
		s.answers(nil)
		eventually(t, func() error { return s.once(kept + 100) })
		r.settled()
		r.put(50)
		eventually(t, func() error { return s.once(kept + 150) })
		r.stop()
		if log := r.log(); !strings.Contains(log, "no space left on device") {
			t.Errorf("the log does not say why:\n%s", log)
		}
		next := run(t, s.client(), o)
		next.next = r.next
		next.put(10)
		eventually(t, func() error { return s.once(kept + 160) })
		t.Logf("%d records, of which %d are lost", next.next, lost)
	})
}

// TestDiskReadOnly: a node has come back with its disk read-only. New records are sent all the same, and what waits on
// the disk is sent when it can be written to again.
func TestDiskReadOnly(t *testing.T) {
	smalldisk.Run(t, diskBytes, func(t *testing.T, d *smalldisk.Disk) {
		s := newServer(t)
		s.answers(status(http.StatusServiceUnavailable))
		o := spool.Options{Dir: filepath.Join(d.Dir, "spool"), MaxBytes: 16 << 20}
		first := run(t, s.client(), o)
		first.put(200)
		first.written()
		first.stop()

		d.ReadOnly(true)
		s.answers(nil)
		r := run(t, s.client(), o)
		r.next = 200
		r.put(300)
		s.arrive(want(200, 500))
		if state := r.State(); state.Lost != 0 {
			t.Errorf("%+v", state)
		}
		d.ReadOnly(false)
		s.arrive(append(want(200, 500), want(0, 200)...))
		r.settled()
		r.stop()
		if log := r.log(); r.State().Lost != 0 || !strings.Contains(log, "read-only file system") {
			t.Errorf("%d lost; the log does not say why:\n%s", r.State().Lost, log)
		}
	})
}
