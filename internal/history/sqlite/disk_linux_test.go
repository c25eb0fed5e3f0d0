package sqlite

import (
	"strings"
	"testing"

	"github.com/tegata-dev/tegata/internal/history"
	"github.com/tegata-dev/tegata/internal/testenv/smalldisk"
)

// TestRealDiskFull has others fill the disk, at once and while it writes: what was acknowledged is there, can be read
// while it is full, and it goes on when there is room.
func TestRealDiskFull(t *testing.T) {
	smalldisk.Run(t, 24<<20, func(t *testing.T, d *smalldisk.Disk) {
		s := openStore(t, d.Dir)
		kept := 0
		write := func(batches int) error {
			for range batches {
				if _, err := s.Put(t.Context(), attempts(kept, kept+20)); err != nil {
					return err
				}
				kept += 20
			}
			return nil
		}
		if err := write(5); err != nil {
			t.Fatal(err)
		}
		for _, left := range []int64{0, 40 << 10, 300 << 10} {
			free := d.Fill(left)
			err := write(2000)
			if err == nil {
				t.Fatal("the disk never is full")
			}
			if !strings.Contains(err.Error(), "full") && !strings.Contains(err.Error(), "I/O") {
				t.Errorf("with %d bytes left the error does not tell: %v", left, err)
			}
			wantWhole(t, s, attempts(0, kept))
			if _, err := s.Get(t.Context(), "relays", attempt(kept).ID); err == nil {
				t.Error("a record of a Put that failed is there")
			}
			free()
			if err := write(5); err != nil {
				t.Errorf("there is room again: %v", err)
			}
			wantWhole(t, s, attempts(0, kept))
		}
		free := d.Fill(0)
		if err := s.Close(); err != nil {
			t.Logf("close on a full disk: %v", err)
		}
		if _, err := Open(t.Context(), d.Dir); err == nil || !strings.Contains(err.Error(), "full") {
			t.Errorf("opened on a full disk: %v", err) // versions of changes are reserved when it opens
		}
		free()
		s = openStore(t, d.Dir)
		wantWhole(t, s, attempts(0, kept))
	})
}

// TestReadOnlyDisk says why it cannot be used, and harms nothing.
func TestReadOnlyDisk(t *testing.T) {
	smalldisk.Run(t, 24<<20, func(t *testing.T, d *smalldisk.Disk) {
		s := openStore(t, d.Dir)
		put(t, s, attempts(0, 100)...)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		d.ReadOnly(true)
		if _, err := Open(t.Context(), d.Dir); err == nil || !strings.Contains(err.Error(), "read-only") && !strings.Contains(err.Error(), "readonly") {
			t.Errorf("opened: %v", err)
		}
		d.ReadOnly(false)
		s = openStore(t, d.Dir)
		put(t, s, attempts(100, 120)...)
		wantWhole(t, s, attempts(0, 120))
		if _, err := s.List(t.Context(), history.Query{Limit: 1}); err != nil {
			t.Error(err)
		}
	})
}
