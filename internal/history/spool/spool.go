// Package spool keeps records on local disk until they were sent: a queue of bytes in append-only files.
//
// What was appended is read in order, again and again until it is acknowledged. It owns the files' form, their bound
// in bytes, and what is done about damage. It must not look into a record, and knows neither senders nor retries.
//
// Append writes to the operating system at once, so a process that is killed loses nothing. A machine that loses
// power loses what was written since the last Sync. A new process never goes on with the files of another: what one
// of them was in the middle of stays the end of its file.
package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// ErrFull says that there is no room for a record until others are acknowledged.
var ErrFull = errors.New("spool is full")

// ErrForeign says that the directory holds records of another owner. Nothing in it is read or changed.
var ErrForeign = errors.New("the spool is somebody else's")

// Bounds of what may be asked for.
const (
	// MinBytes is the least that a spool may hold.
	MinBytes = 1 << 20
	// MaxRecordBytes bounds one record.
	MaxRecordBytes = 64 << 10
	maxOwnerBytes  = 1 << 10
)

// Options of a Spool.
type Options struct {
	// Dir is made when it is missing. It belongs to one Spool at a time.
	Dir string
	// Owner is whose the records are, one line. Records do not say it, so a spool opens for its owner only.
	Owner string
	// MaxBytes bounds what its files take together, but for a few hundred bytes.
	MaxBytes int64
}

// segmentBytes is how large a file grows. What is acknowledged is freed by whole files.
func (o *Options) segmentBytes() int64 { return min(max(o.MaxBytes/64, 64<<10), 4<<20) }

// position is a place between two frames.
type position struct {
	segment uint64
	offset  int64
}

// Spool is safe for concurrent use.
type Spool struct {
	o Options
	// header begins each of its files.
	header string
	lock   *os.File

	mu sync.Mutex
	// segments are the oldest first. Only the last may be written to, unless it is sealed.
	segments []*segment
	// acknowledged are those that could not be deleted yet.
	acknowledged []*segment
	next         uint64 // number of the next segment
	cursor       position
	bytes        int64 // of all files
	waiting      int   // records that are not acknowledged
	oldest       time.Time
	dirUnsynced  bool
	buffer       []byte
	window       []byte
}

// Recovered is what Open found.
type Recovered struct {
	// Records wait to be sent.
	Records int
	// SetAside are files that could not be read. They were renamed.
	SetAside []string
}

// Open opens a spool, and finds what an earlier one has left. Its error says that there is no spool at present; it may
// be tried again.
func Open(o Options) (*Spool, Recovered, error) {
	o.MaxBytes = max(o.MaxBytes, MinBytes)
	if len(o.Owner) > maxOwnerBytes || strings.Contains(o.Owner, "\n") {
		return nil, Recovered{}, errors.New("the owner of a spool is one line of at most 1024 bytes")
	}
	s := &Spool{o: o, header: headerOf(o.Owner), window: make([]byte, windowBytes)}
	if err := s.claim(); err != nil {
		return nil, Recovered{}, err
	}
	found, err := s.recover()
	if err != nil {
		return nil, Recovered{}, errors.Join(err, s.lock.Close())
	}
	return s, found, nil
}

// claim makes the directory, and makes it ours.
func (s *Spool) claim() error {
	if err := os.MkdirAll(s.o.Dir, 0o700); err != nil {
		return fmt.Errorf("make spool: %w", err)
	}
	lock, err := os.OpenFile(s.path("lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("lock spool: %w", err)
	}
	if err := flock(lock); err != nil {
		return errors.Join(fmt.Errorf("lock spool: %s is used by another process: %w", s.o.Dir, err), lock.Close())
	}
	if s.lock != nil {
		_ = s.lock.Close() // of a directory that is gone
	}
	s.lock = lock
	return nil
}

func (s *Spool) headerBytes() int64 { return int64(len(s.header)) }

func (s *Spool) path(name string) string { return filepath.Join(s.o.Dir, name) }

// Append keeps records, all or none of them. Its error is ErrFull, or one of the disk.
func (s *Spool) Append(records [][]byte, now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.buffer = s.buffer[:0]
	for _, record := range records {
		s.buffer = appendFrame(s.buffer, record, now)
	}
	size := int64(len(s.buffer))
	if s.bytes+size+s.headerBytes() > s.o.MaxBytes {
		return ErrFull
	}
	active, err := s.writable()
	if err != nil {
		return err
	}
	// At the end that is known, not at the file's: whatever a write that failed has left there is written over.
	if _, err := active.file.WriteAt(s.buffer, active.size); err != nil {
		// What cannot be cut off is read as damage at worst.
		return errors.Join(fmt.Errorf("write to spool: %w", err), active.file.Truncate(active.size))
	}
	active.size += size
	active.records += len(records)
	active.unsynced = true
	s.bytes += size
	if s.waiting == 0 {
		s.oldest = now
	}
	s.waiting += len(records)
	return nil
}

// writable is the segment to write to. It needs s.mu.
func (s *Spool) writable() (*segment, error) {
	if n := len(s.segments); n > 0 {
		if last := s.segments[n-1]; !last.sealed {
			if last.size < s.o.segmentBytes() {
				return last, nil
			}
			last.sealed = true
		}
	}
	made, err := s.makeSegment()
	if errors.Is(err, fs.ErrNotExist) { // the directory was deleted
		if err = s.claim(); err == nil {
			made, err = s.makeSegment()
		}
	}
	if err != nil {
		return nil, err
	}
	s.segments = append(s.segments, made)
	s.bytes += made.size
	s.dirUnsynced = true
	return made, nil
}

func (s *Spool) makeSegment() (*segment, error) {
	made, err := createSegment(s.path(segmentName(s.next)), s.next, s.header)
	if err != nil {
		return nil, fmt.Errorf("make file of spool: %w", err)
	}
	s.next++
	return made, nil
}

// Acknowledge forgets the records of a batch: the next Next goes on behind them. Its error says that this may be
// forgotten when the process ends, or that a file could not be deleted; it is tried again with the next batch.
func (s *Spool) Acknowledge(b *Batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cursor = b.end
	s.waiting = max(0, s.waiting-len(b.Records)-b.Missing)
	if i := slices.IndexFunc(s.segments, func(seg *segment) bool { return seg.number == b.end.segment }); i >= 0 {
		s.segments[i].records -= len(b.Records) // a batch has records of one segment
	}
	for len(s.segments) > 0 && s.done(s.segments[0]) {
		s.acknowledged = append(s.acknowledged, s.segments[0])
		s.segments = s.segments[1:]
	}
	s.count()
	err := s.storeCursor()
	return errors.Join(err, s.deleteAcknowledged())
}

// done says whether a segment is acknowledged and to be deleted. One that is hardly used is used further, so that
// a few records now and then do not make a file each.
func (s *Spool) done(seg *segment) bool {
	if seg.number != s.cursor.segment {
		return seg.number < s.cursor.segment
	}
	return s.cursor.offset >= seg.size && (seg.sealed || seg.size >= s.o.segmentBytes()/4)
}

// count corrects what waits where the files say better. It needs s.mu.
func (s *Spool) count() {
	for _, seg := range s.segments {
		offset := s.headerBytes()
		if seg.number == s.cursor.segment {
			offset = s.cursor.offset
		}
		if offset < seg.size {
			s.waiting = max(s.waiting, 1)
			if err := seg.open(s.path(segmentName(seg.number))); err != nil {
				return // the next read says so
			}
			if at, ok := seg.timeAt(offset); ok {
				s.oldest = at
			}
			return
		}
	}
	s.waiting, s.oldest = 0, time.Time{}
}

// deleteAcknowledged needs s.mu.
func (s *Spool) deleteAcknowledged() error {
	var errs []error
	s.acknowledged = slices.DeleteFunc(s.acknowledged, func(seg *segment) bool {
		seg.close()
		if err := os.Remove(s.path(segmentName(seg.number))); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("free spool: %w", err))
			return false
		}
		s.bytes -= seg.size
		return true
	})
	return errors.Join(errs...)
}

// Stats are what a Spool holds.
type Stats struct {
	// Records are not acknowledged; Bytes are those of the files.
	Records int
	Bytes   int64
	// Oldest is when the oldest of them was appended, zero when there is none.
	Oldest time.Time
}

// Stats says what the spool holds. It waits while another call writes to the disk.
func (s *Spool) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Stats{Records: s.waiting, Bytes: s.bytes, Oldest: s.oldest}
}

// Close syncs and closes the files. Nothing else may be called any more.
func (s *Spool) Close() error {
	err := s.Sync()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, seg := range slices.Concat(s.segments, s.acknowledged) {
		seg.close()
	}
	return errors.Join(err, s.lock.Close())
}

// maxSegment keeps numbers from running over.
const maxSegment = math.MaxUint64 / 2
