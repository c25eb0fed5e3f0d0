package spool

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestTornTail cuts the file within its last record, at every byte. What comes after a restart follows what is whole.
func TestTornTail(t *testing.T) {
	s := newStage(t, MinBytes)
	s.put(3)
	whole := s.segments[0].size
	names, _ := s.files()
	content, err := os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	last := int64(frameHeaderBytes + len(record(2)))
	for cut := whole - last; cut <= whole; cut++ {
		for name, tail := range map[string][]byte{"cut": nil, "zeros": make([]byte, whole-cut)} {
			s := newStage(t, MinBytes)
			path := filepath.Join(s.o.Dir, segmentName(1))
			if err := os.WriteFile(path, slices.Concat(content[:cut], tail), 0o600); err != nil {
				t.Fatal(err)
			}
			s.restart()
			s.next = 100
			s.put(2)
			got, damaged, _ := s.drain()
			want := []uint64{0, 1, 100, 101}
			if cut == whole {
				want = []uint64{0, 1, 2, 100, 101}
			}
			if err := same(got, want); err != nil {
				t.Fatalf("%s at %d of %d: %v", name, cut, whole, err)
			}
			if torn := cut != whole && (cut != whole-last || len(tail) > 0); (damaged == 1) != torn || damaged > 1 {
				t.Fatalf("%s at %d: %d damaged places", name, cut, damaged)
			}
		}
	}
}

// TestDamageCostsOneRecord turns each byte of a record in the middle.
func TestDamageCostsOneRecord(t *testing.T) {
	s := newStage(t, MinBytes)
	s.put(20)
	names, _ := s.files()
	content, err := os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	begin := int64(bytes.Index(content, record(10))) - frameHeaderBytes
	end := begin + frameHeaderBytes + int64(len(record(10)))
	for at := begin; at < end; at++ {
		damaged := slices.Clone(content)
		damaged[at] ^= 0x55
		s := newStage(t, MinBytes)
		if err := os.WriteFile(filepath.Join(s.o.Dir, segmentName(1)), damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		s.restart()
		if s.found.Records != 19 {
			t.Fatalf("byte %d: found %d records", at, s.found.Records)
		}
		got, places, _ := s.drain()
		if err := same(got, append(span(0, 10), span(11, 20)...)); err != nil || places < 1 {
			t.Fatalf("byte %d: %v, %d places", at-begin, err, places)
		}
	}
}

// TestDamageIsToldOnce: a batch that is read again tells of it again, and one that was acknowledged does not.
func TestDamageIsToldOnce(t *testing.T) {
	s := newStage(t, MinBytes)
	s.put(2)
	names, _ := s.files()
	content, err := os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(names[0], append(content, "rubbish"...), 0o600); err != nil {
		t.Fatal(err)
	}
	s.restart()
	for range 2 {
		if b, err := s.Next(10, 1<<20); err != nil || len(b.Records) != 2 || b.Damaged != 0 && b.Damaged != 1 {
			t.Fatalf("%+v, %v", b, err)
		}
	}
	if _, damaged, _ := s.drain(); damaged != 1 {
		t.Errorf("%d places", damaged)
	}
	if b, err := s.Next(10, 1<<20); err != nil || !b.Empty() {
		t.Errorf("%+v, %v", b, err)
	}
}

// TestCursors: without a good one, records come again, and none is left out.
func TestCursors(t *testing.T) {
	for name, content := range map[string]string{
		"empty": "", "torn": "2 1", "garbage": "\x00\xff", "negative": "1 -5 00000000", "of nothing": "9 9 00000000",
		"huge": "99999999999999999999999 1 00000000", "wrong sum": "3 8 12345678\n",
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, MinBytes)
			s.put(3000)
			s.take(10)
			if err := os.WriteFile(s.path(cursorName), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			s.restart()
			s.put(1)
			got, _, _ := s.drain()
			if err := same(got, span(0, 3001)); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestCursorAheadOfItsFile: the power went, and with it what had been acknowledged. What is appended then is not
// taken for acknowledged.
func TestCursorAheadOfItsFile(t *testing.T) {
	for name, lose := range map[string]func(path string) error{
		"the end":  func(path string) error { return os.Truncate(path, int64(len(headerOf("relays/asp1")))) },
		"the file": os.Remove,
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, MinBytes)
			s.put(10)
			s.take(10)
			if err := lose(s.path(segmentName(1))); err != nil {
				t.Fatal(err)
			}
			s.restart()
			s.put(10)
			got, _, _ := s.drain()
			if err := same(got, span(10, 20)); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestForeignFiles are set aside or left alone.
func TestForeignFiles(t *testing.T) {
	s := newStage(t, MinBytes)
	s.put(3)
	for name, content := range map[string]string{
		segmentName(7): "not a spool", segmentName(5): "tegspl3 newer\n", segmentName(6): "teg", "notes.txt": "hello", "x.spool": "hello",
	} {
		if err := os.WriteFile(s.path(name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.restart()
	if want := []string{segmentName(5) + ".bad", segmentName(7) + ".bad"}; !slices.Equal(s.found.SetAside, want) {
		t.Errorf("set aside %v, want %v", s.found.SetAside, want)
	}
	s.put(3)
	got, damaged, missing := s.drain()
	if err := same(got, span(0, 6)); err != nil || damaged+missing != 0 {
		t.Errorf("%v; %d damaged, %d missing", err, damaged, missing)
	}
	if content, err := os.ReadFile(s.path("notes.txt")); err != nil || string(content) != "hello" {
		t.Errorf("a foreign file: %q, %v", content, err)
	}
}

func TestFewFilesAreSetAside(t *testing.T) {
	s := newStage(t, MinBytes)
	for n := range uint64(9) {
		if err := os.WriteFile(s.path(segmentName(n+1)), []byte("not a spool"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.restart()
	if left, err := fs.Glob(os.DirFS(s.o.Dir), "*.bad"); err != nil || len(left) != maxSetAside || left[0] != segmentName(6)+".bad" {
		t.Errorf("%v, %v", left, err)
	}
}

// TestDeletedUnderUs: somebody deletes the directory. What this process has open still comes, what it had closed is
// counted, and it goes on.
func TestDeletedUnderUs(t *testing.T) {
	s := newStage(t, MinBytes)
	s.put(5)
	s.restart()
	s.put(5)
	if err := os.RemoveAll(s.o.Dir); err != nil {
		t.Fatal(err)
	}
	s.segments[0].close()
	s.put(1)
	if err := s.Sync(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("sync: %v", err)
	}
	s.put(5)
	b, err := s.Next(2, 1<<20)
	if err != nil || b.Missing != 5 {
		t.Errorf("%d missing, want 5, %v", b.Missing, err)
	}
	if err := s.Acknowledge(&b); err != nil || s.Stats().Records != 9 {
		t.Errorf("%d wait, want 9, %v", s.Stats().Records, err)
	}
	got, _, missing := s.drain()
	if err := same(got, span(7, 16)); err != nil || missing != 0 {
		t.Errorf("%v; %d missing", err, missing)
	}
	s.put(3)
	if err := s.Sync(); err != nil {
		t.Error(err)
	}
	s.restart()
	got, _, _ = s.drain()
	if err := same(got, span(16, 19)); err != nil {
		t.Error(err)
	}
}

func FuzzFrames(f *testing.F) {
	good := appendFrame(nil, record(7), noon)
	f.Add(good, uint8(3))
	f.Add(good[:len(good)-1], uint8(0))
	f.Add([]byte(magic+magic), uint8(40))
	f.Fuzz(func(t *testing.T, junk []byte, at uint8) {
		planted := appendFrame(nil, []byte("planted"), noon)
		b := slices.Concat(junk, planted, junk[:min(int(at), len(junk))])
		var payloads [][]byte
		for rest := b; len(rest) > 0; {
			found, skip := findFrame(rest, true)
			if found.payload != nil {
				payloads = append(payloads, found.payload)
				skip = found.size
			}
			if skip <= 0 || skip > len(rest) {
				t.Fatalf("goes on by %d of %d", skip, len(rest))
			}
			rest = rest[skip:]
		}
		covered := bytes.Contains(junk, []byte(magic)) // a frame in the junk may hold what was planted
		if !covered && !slices.ContainsFunc(payloads, func(p []byte) bool { return string(p) == "planted" }) {
			t.Error("what is behind the damage was not found")
		}
	})
}
