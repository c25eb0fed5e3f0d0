package spool

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 15, 12, 0, 0, 0, time.UTC)

// stage is a spool's directory, with what was appended to it.
type stage struct {
	*Spool
	t     *testing.T
	o     Options
	next  uint64
	found Recovered
}

func newStage(t *testing.T, maxBytes int64) *stage {
	t.Helper()
	s := &stage{t: t, o: Options{Dir: filepath.Join(t.TempDir(), "spool"), Owner: "relays/asp1", MaxBytes: maxBytes}}
	s.open()
	t.Cleanup(func() { s.kill() })
	return s
}

func (s *stage) open() {
	s.t.Helper()
	var err error
	if s.Spool, s.found, err = Open(s.o); err != nil {
		s.t.Fatal(err)
	}
}

// kill is what the kernel does when the process ends.
func (s *stage) kill() {
	for _, seg := range append(s.segments, s.acknowledged...) {
		seg.close()
	}
	_ = s.lock.Close()
}

func (s *stage) restart() {
	s.t.Helper()
	s.kill()
	s.open()
}

// record is the nth, of a size that depends on n.
func record(n uint64) []byte {
	b := binary.BigEndian.AppendUint64(nil, n)
	return append(b, strings.Repeat(magic, int(n%97))...)
}

// put appends so many records, in ones.
func (s *stage) put(count int) {
	s.t.Helper()
	for range count {
		if err := s.Append([][]byte{record(s.next)}, noon.Add(time.Duration(s.next)*time.Second)); err != nil {
			s.t.Fatalf("record %d: %v", s.next, err)
		}
		s.next++
	}
}

// take reads and acknowledges a batch of so many records at most.
func (s *stage) take(most int) Batch {
	s.t.Helper()
	b, err := s.Next(most, 1<<20)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.Acknowledge(&b); err != nil {
		s.t.Fatal(err)
	}
	return b
}

// drain reads and acknowledges all.
func (s *stage) drain() (numbers []uint64, damaged, missing int) {
	s.t.Helper()
	for {
		b, err := s.Next(90, 16<<10)
		if err != nil {
			s.t.Fatal(err)
		}
		if b.Empty() {
			return numbers, damaged, missing
		}
		numbers = append(numbers, numbersOf(s.t, &b)...)
		damaged, missing = damaged+b.Damaged, missing+b.Missing
		if err := s.Acknowledge(&b); err != nil {
			s.t.Fatal(err)
		}
	}
}

func numbersOf(t *testing.T, b *Batch) []uint64 {
	t.Helper()
	var numbers []uint64
	for _, r := range b.Records {
		n := binary.BigEndian.Uint64(r)
		if !bytes.Equal(r, record(n)) {
			t.Fatalf("record %d is not what was appended", n)
		}
		numbers = append(numbers, n)
	}
	return numbers
}

// span are the numbers from first up to before end.
func span(first, end uint64) []uint64 {
	var numbers []uint64
	for n := first; n < end; n++ {
		numbers = append(numbers, n)
	}
	return numbers
}

func same(got, want []uint64) error {
	if fmt.Sprint(got) == fmt.Sprint(want) {
		return nil
	}
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			return fmt.Errorf("record %d where %d is due, after %d good ones", got[i], want[i], i)
		}
	}
	return fmt.Errorf("%d records, want %d", len(got), len(want))
}

// files are the spool's, with their sizes.
func (s *stage) files() (names []string, bytes int64) {
	s.t.Helper()
	entries, err := os.ReadDir(s.o.Dir)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, entry := range entries {
		if segmentNames.MatchString(entry.Name()) {
			info, err := entry.Info()
			if err != nil {
				s.t.Fatal(err)
			}
			names = append(names, filepath.Join(s.o.Dir, entry.Name()))
			bytes += info.Size()
		}
	}
	return names, bytes
}

func (s *stage) fill() {
	s.t.Helper()
	for {
		err := s.Append([][]byte{record(s.next)}, noon)
		if errors.Is(err, ErrFull) {
			return
		}
		if err != nil {
			s.t.Fatal(err)
		}
		s.next++
	}
}
