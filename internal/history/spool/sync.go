package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Sync has what was appended so far reach the disk. It does not hold up Append.
func (s *Spool) Sync() error {
	s.mu.Lock()
	type dirty struct {
		*segment
		file *os.File // Acknowledge may close it meanwhile: then there is nothing to sync
	}
	var unsynced []dirty
	for _, seg := range s.segments {
		if seg.unsynced && seg.file != nil {
			unsynced = append(unsynced, dirty{seg, seg.file})
		}
		seg.unsynced = false
	}
	directory := s.dirUnsynced
	s.dirUnsynced = false
	s.mu.Unlock()

	var errs []error
	for _, d := range unsynced {
		if err := syncFile(d.file, s.path(segmentName(d.number))); err != nil {
			errs = append(errs, err)
			s.seal(d.segment)
		}
	}
	if directory {
		errs = append(errs, syncDir(s.o.Dir))
	}
	return errors.Join(errs...)
}

// seal has no more written to a segment that the disk has failed, or that somebody has deleted. While this process
// lives, it can still read it.
func (s *Spool) seal(seg *segment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	seg.sealed = true
}

// syncFile has a file reach the disk, if it is still the one that the path names. One that was closed meanwhile was
// acknowledged.
func syncFile(file *os.File, path string) error {
	err := file.Sync()
	if err == nil {
		var ours, named os.FileInfo
		if ours, err = file.Stat(); err == nil {
			named, err = os.Stat(path)
		}
		if err == nil && !os.SameFile(ours, named) {
			err = fs.ErrNotExist
		}
	}
	if err == nil || errors.Is(err, os.ErrClosed) {
		return nil
	}
	if _, closed := file.Stat(); errors.Is(closed, os.ErrClosed) {
		return nil
	}
	return fmt.Errorf("sync spool: %w", err)
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("sync spool: %w", err)
	}
	if err := dir.Sync(); err != nil {
		return errors.Join(fmt.Errorf("sync spool: %w", err), dir.Close())
	}
	return dir.Close()
}
