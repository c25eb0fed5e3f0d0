package spool

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// Batch is what Next has read.
type Batch struct {
	// Records are valid until the next call of Next.
	Records [][]byte
	// Damaged is how many places could not be read on the way to them. A place is one record or more.
	Damaged int
	// Missing is how many records were in files that are gone, or that the disk does not give back.
	Missing int

	end position
}

// Empty says that there is nothing to send and nothing to acknowledge.
func (b *Batch) Empty() bool { return len(b.Records)+b.Damaged+b.Missing == 0 }

// Next reads the oldest records that are not acknowledged, at most so many and of so many bytes, but one at least.
// Damage and missing files before them are told once, if the batch is acknowledged.
func (s *Spool) Next(maxRecords, maxBytes int) (Batch, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := Batch{end: s.cursor}
	for _, seg := range s.segments {
		if seg.number < b.end.segment {
			continue
		}
		if seg.number > b.end.segment {
			b.end = position{seg.number, s.headerBytes()}
		}
		if b.end.offset >= seg.size {
			continue
		}
		err := s.read(seg, &b, maxRecords, maxBytes)
		if errors.Is(err, errUnreadable) {
			s.giveUp(seg, &b)
			err = nil
		}
		if err != nil || len(b.Records) > 0 {
			return b, err
		}
	}
	return b, nil
}

// errUnreadable says that trying again will not help.
var errUnreadable = errors.New("file of the spool cannot be read")

// giveUp goes on behind a file that cannot be read. It is left under another name, if it is there. It needs s.mu.
func (s *Spool) giveUp(seg *segment, b *Batch) {
	s.setAside(seg.number)
	seg.sealed = true
	b.Missing += max(seg.records, 1)
	b.end.offset = seg.size
}

// read adds records of one segment to a batch. It needs s.mu.
func (s *Spool) read(seg *segment, b *Batch, maxRecords, maxBytes int) error {
	err := seg.open(s.path(segmentName(seg.number)))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return errUnreadable
	}
	if err != nil {
		return fmt.Errorf("read spool: %w", err)
	}
	for len(b.Records) == 0 && b.end.offset < seg.size {
		window := s.window[:min(int64(len(s.window)), seg.size-b.end.offset)]
		n, err := seg.file.ReadAt(window, b.end.offset)
		if n < len(window) {
			if !errors.Is(err, io.EOF) {
				return errUnreadable
			}
			// The file is shorter than it was: what it lacks is gone.
			seg.size = b.end.offset + int64(n)
			window = window[:n]
			b.Damaged++
		}
		b.end.offset += s.parse(window, b.end.offset+int64(n) >= seg.size, b, maxRecords, maxBytes)
	}
	return nil
}

// parse adds the frames of a window, and says how many of its bytes were used.
func (s *Spool) parse(window []byte, last bool, b *Batch, maxRecords, maxBytes int) int64 {
	used, bytes, broken := 0, 0, false
	for len(b.Records) < maxRecords {
		f, skip := findFrame(window[used:], last)
		if skip > 0 && !broken {
			b.Damaged++ // once a place, also when it has more than one window
		}
		broken = skip > 0
		used += skip
		if f.payload == nil {
			if skip == 0 {
				break
			}
			continue
		}
		if bytes += len(f.payload); bytes > maxBytes && len(b.Records) > 0 {
			break
		}
		b.Records = append(b.Records, f.payload)
		used += f.size
		broken = false
	}
	return int64(used)
}
