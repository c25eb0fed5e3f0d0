package spool

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strconv"
)

const (
	cursorName = "cursor"
	// setAsideSuffix marks files that could not be read. The newest of them are left for a person to look at.
	setAsideSuffix = ".bad"
	maxSetAside    = 4
)

var segmentNames = regexp.MustCompile(`^(\d{20})\.spool$`)

// recover finds what earlier processes have left.
func (s *Spool) recover() (Recovered, error) {
	s.cursor = s.loadCursor()
	s.next = s.cursor.segment + 1
	var found Recovered
	numbers, err := s.list()
	if err != nil {
		return found, err
	}
	for _, number := range numbers { // before anything is changed
		if _, err := s.identify(number); errors.Is(err, ErrForeign) {
			return found, err
		}
	}
	for _, number := range numbers {
		s.next = max(s.next, number+1)
		if err := s.adopt(number); err != nil {
			found.SetAside = append(found.SetAside, s.setAside(number))
		}
	}
	s.forgetSetAside()
	for _, seg := range s.segments {
		found.Records += seg.records
	}
	s.waiting = found.Records
	s.count()
	return found, s.deleteAcknowledged()
}

// list is the numbers of the files that there are, in order.
func (s *Spool) list() ([]uint64, error) {
	entries, err := os.ReadDir(s.o.Dir) // in the order of names
	if err != nil {
		return nil, fmt.Errorf("read spool: %w", err)
	}
	var numbers []uint64
	for _, entry := range entries {
		match := segmentNames.FindStringSubmatch(entry.Name())
		if match == nil {
			continue
		}
		if number, err := strconv.ParseUint(match[1], 10, 64); err == nil && number <= maxSegment {
			numbers = append(numbers, number)
		}
	}
	return numbers, nil
}

var errNotOurs = errors.New("file does not begin as one of a spool")

// adopt takes over a file. Its error says that it cannot be read.
func (s *Spool) adopt(number uint64) error {
	seg := &segment{number: number, sealed: true}
	path := s.path(segmentName(number))
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return errNotOurs
	}
	seg.size = info.Size()
	s.bytes += seg.size
	whole, err := s.identify(number)
	if number < s.cursor.segment || err == nil && !whole {
		s.acknowledged = append(s.acknowledged, seg)
		return nil
	}
	if err == nil {
		err = s.inspect(seg)
	}
	if err != nil {
		s.bytes -= seg.size
		seg.close()
		return err
	}
	s.segments = append(s.segments, seg)
	return nil
}

// identify says whether a file has its whole header. Its error is ErrForeign when that is another owner's.
func (s *Spool) identify(number uint64) (whole bool, err error) {
	path := s.path(segmentName(number))
	// We make no other: to open a pipe would hang, and a link leads elsewhere.
	if info, err := os.Lstat(path); err != nil || !info.Mode().IsRegular() {
		return false, errNotOurs
	}
	file, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer file.Close() //nolint:errcheck // it was read only
	begin := make([]byte, maxHeaderBytes)
	n, err := file.ReadAt(begin, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	owner, whole, err := ownerIn(begin[:n])
	if err == nil && whole && owner != s.o.Owner {
		return false, fmt.Errorf("%w: %s holds records of %.300q, not of %q; give each a directory of its own", ErrForeign, s.o.Dir, owner, s.o.Owner)
	}
	return whole, err
}

// inspect counts the records of a file that are not acknowledged.
func (s *Spool) inspect(seg *segment) error {
	b := Batch{end: position{seg.number, s.headerBytes()}}
	if seg.number == s.cursor.segment {
		b.end.offset = max(s.headerBytes(), min(s.cursor.offset, seg.size))
	}
	for b.end.offset < seg.size {
		b.Records = b.Records[:0]
		if err := s.read(seg, &b, windowBytes, windowBytes); err != nil {
			return err
		}
		seg.records += len(b.Records)
	}
	seg.close()
	return nil
}

// setAside renames a file that cannot be read, and says its new name. It may be gone.
func (s *Spool) setAside(number uint64) string {
	name := segmentName(number)
	if err := os.Rename(s.path(name), s.path(name+setAsideSuffix)); err != nil {
		return name
	}
	return name + setAsideSuffix
}

// forgetSetAside deletes all but the newest.
func (s *Spool) forgetSetAside() {
	matches, err := fs.Glob(os.DirFS(s.o.Dir), "*"+setAsideSuffix)
	if err != nil {
		return
	}
	slices.Sort(matches)
	for _, name := range matches[:max(0, len(matches)-maxSetAside)] {
		_ = os.Remove(s.path(name)) // tried again at the next start
	}
}

// The cursor is a line of text: the segment, the offset in it, and a checksum of both. It is not synced. One that is
// old, torn or lost has records sent again, which does no harm.
func (s *Spool) storeCursor() error {
	text := fmt.Sprintf("%d %d", s.cursor.segment, s.cursor.offset)
	line := fmt.Sprintf("%s %08x\n", text, crc32.Checksum([]byte(text), castagnoli))
	temporary := s.path(cursorName + ".new")
	if err := writeNew(temporary, line); err != nil {
		return fmt.Errorf("note what was sent: %w", err)
	}
	if err := os.Rename(temporary, s.path(cursorName)); err != nil {
		return fmt.Errorf("note what was sent: %w", err)
	}
	return nil
}

// writeNew writes a file that is not there yet: what is in its place is removed, for it may lead elsewhere.
func writeNew(path, content string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = file.WriteString(content)
	return errors.Join(err, file.Close())
}

// maxCursorBytes is more than a cursor has.
const maxCursorBytes = 128

func (s *Spool) loadCursor() position {
	path := s.path(cursorName)
	if info, err := os.Lstat(path); err != nil || !info.Mode().IsRegular() || info.Size() > maxCursorBytes {
		return position{}
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return position{}
	}
	var p position
	var sum uint32
	if n, err := fmt.Sscanf(string(content), "%d %d %x\n", &p.segment, &p.offset, &sum); err != nil || n != 3 {
		return position{}
	}
	text := fmt.Sprintf("%d %d", p.segment, p.offset)
	if sum != crc32.Checksum([]byte(text), castagnoli) || p.offset < 0 || p.segment > maxSegment {
		return position{}
	}
	return p
}
