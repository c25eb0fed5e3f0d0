package spool

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestRecordsComeInOrderAndOnce(t *testing.T) {
	s := newStage(t, MinBytes)
	s.put(4500) // over several files
	if names, _ := s.files(); len(names) < 3 {
		t.Fatalf("%d files: the test is to have several", len(names))
	}
	got, damaged, missing := s.drain()
	if err := same(got, span(0, 4500)); err != nil || damaged+missing != 0 {
		t.Errorf("%v; %d damaged, %d missing", err, damaged, missing)
	}
	if stats := s.Stats(); stats.Records != 0 || !stats.Oldest.IsZero() {
		t.Errorf("nothing waits, but %+v", stats)
	}
}

// TestWhatIsNotAcknowledgedComesAgain: also after the process was killed.
func TestWhatIsNotAcknowledgedComesAgain(t *testing.T) {
	s := newStage(t, MinBytes)
	s.put(100)
	first, err := s.Next(40, 1<<20)
	if err != nil || len(first.Records) != 40 {
		t.Fatalf("%d records, %v", len(first.Records), err)
	}
	if err := s.Acknowledge(&first); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Next(40, 1<<20); err != nil {
		t.Fatal(err)
	}
	s.restart()
	if stats := s.Stats(); s.found.Records != 60 || stats.Records != 60 || !stats.Oldest.Equal(noon.Add(40*time.Second)) {
		t.Errorf("found %+v, %+v; want 60 records, the oldest of the 40th second", s.found, stats)
	}
	s.put(10)
	got, _, _ := s.drain()
	if err := same(got, span(40, 110)); err != nil {
		t.Error(err)
	}
	s.restart()
	if got, _, _ := s.drain(); len(got) > 0 {
		t.Errorf("%d acknowledged records came again", len(got))
	}
}

func TestBound(t *testing.T) {
	s := newStage(t, MinBytes)
	s.fill()
	if _, bytes := s.files(); bytes > MinBytes || bytes < MinBytes*9/10 || bytes != s.Stats().Bytes {
		t.Errorf("full at %d bytes of %d, and says %d", bytes, MinBytes, s.Stats().Bytes)
	}
	full, acknowledged := s.next, uint64(0)
	for range 3 { // room comes back with what is acknowledged, and only with that
		acknowledged += uint64(len(s.take(200).Records))
	}
	s.fill()
	if s.next == full {
		t.Error("acknowledged records are not freed")
	}
	if _, bytes := s.files(); bytes > MinBytes {
		t.Errorf("%d bytes", bytes)
	}
	got, _, _ := s.drain()
	if err := same(got, span(acknowledged, s.next)); err != nil {
		t.Error(err)
	}
	if _, bytes := s.files(); bytes != s.Stats().Bytes || bytes > s.o.segmentBytes() {
		t.Errorf("%d bytes are left, and it says %d", bytes, s.Stats().Bytes)
	}
}

// TestFewBytesAreLeft: what was sent is freed, also of the file that is written to, but not for a record or two.
func TestFewBytesAreLeft(t *testing.T) {
	s := newStage(t, MinBytes)
	s.put(1)
	s.drain()
	if names, _ := s.files(); len(names) != 1 {
		t.Errorf("a record costs a file: %v", names)
	}
	s.put(150)
	s.drain()
	if names, bytes := s.files(); len(names) != 0 || s.Stats().Bytes != 0 {
		t.Errorf("%v are left, with %d bytes; it says %d", names, bytes, s.Stats().Bytes)
	}
}

func TestOneProcessAtATime(t *testing.T) {
	s := newStage(t, MinBytes)
	if _, _, err := Open(s.o); err == nil {
		t.Error("two have it")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s.open()
}

func TestNobodyElseReadsIt(t *testing.T) {
	s := newStage(t, MinBytes)
	s.put(1)
	names, _ := s.files()
	for path, want := range map[string]os.FileMode{s.o.Dir: 0o700, names[0]: 0o600, filepath.Join(s.o.Dir, "lock"): 0o600} {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v; want %o", path, info.Mode(), err, want)
		}
	}
}

// TestAnyOrderOfCalls compares with a queue: nothing is lost, nothing changes places, and what comes again comes
// again only after the process was killed.
func TestAnyOrderOfCalls(t *testing.T) {
	for seed := range uint64(10) {
		random := rand.New(rand.NewPCG(seed, 1))
		s := newStage(t, MinBytes)
		var acknowledged uint64
		for range 400 {
			switch random.IntN(12) {
			case 0:
				s.restart()
			case 1:
				if err := s.Sync(); err != nil {
					t.Fatal(err)
				}
			case 2, 3, 4, 5:
				b, err := s.Next(1+random.IntN(300), 1+random.IntN(1<<16))
				if err != nil {
					t.Fatal(err)
				}
				numbers := numbersOf(t, &b)
				if err := same(numbers, span(acknowledged, acknowledged+uint64(len(numbers)))); err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
				if len(numbers) == 0 && acknowledged != s.next {
					t.Fatalf("seed %d: nothing comes, where %d is due", seed, acknowledged)
				}
				if random.IntN(2) == 0 {
					if err := s.Acknowledge(&b); err != nil {
						t.Fatal(err)
					}
					acknowledged += uint64(len(numbers))
				}
			default:
				if s.Stats().Bytes < MinBytes/2 {
					s.put(random.IntN(100))
				}
			}
			if stats := s.Stats(); stats.Records != int(s.next-acknowledged) {
				t.Fatalf("seed %d: says %d records, want %d", seed, stats.Records, s.next-acknowledged)
			}
		}
	}
}
