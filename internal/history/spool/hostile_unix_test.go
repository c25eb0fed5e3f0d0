//go:build unix

package spool

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestPlantedFiles has somebody put into the directory what is no file: nothing hangs, nothing outside is read or
// written, and what was kept comes.
func TestPlantedFiles(t *testing.T) {
	s := newStage(t, MinBytes)
	s.put(3)
	outside := filepath.Join(t.TempDir(), "outside")
	content, err := os.ReadFile(s.path(segmentName(1)))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(outside, content, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		os.Symlink(outside, s.path(segmentName(5))), os.Symlink("/dev/zero", s.path(segmentName(6))),
		unix.Mkfifo(s.path(segmentName(7)), 0o600), os.Mkdir(s.path(segmentName(8)), 0o700),
		unix.Mkfifo(s.path(cursorName), 0o600), os.Symlink(outside, s.path(cursorName+".new")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	s.restart()
	if len(s.found.SetAside) != 4 || s.found.Records != 3 {
		t.Errorf("found %+v, want 3 records, and 4 that are set aside", s.found)
	}
	s.put(3)
	got, damaged, missing := s.drain()
	if err := same(got, span(0, 6)); err != nil || damaged+missing != 0 {
		t.Errorf("%v; %d damaged, %d missing", err, damaged, missing)
	}
	if after, err := os.ReadFile(outside); err != nil || !bytes.Equal(after, content) {
		t.Errorf("what a link led to was changed: %v", err)
	}
}

// TestOthersMayNotRead: records name people and their addresses, whatever the umask is.
func TestOthersMayNotRead(t *testing.T) {
	defer unix.Umask(unix.Umask(0))
	s := newStage(t, MinBytes)
	s.put(3)
	s.drain()
	s.put(1)
	err := filepath.WalkDir(s.o.Dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %s", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
