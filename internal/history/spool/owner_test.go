package spool

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"strings"
	"testing"
)

// content is what the directory holds, by name.
func (s *stage) content() map[string]string {
	s.t.Helper()
	entries, err := os.ReadDir(s.o.Dir)
	if err != nil {
		s.t.Fatal(err)
	}
	all := map[string]string{}
	for _, entry := range entries {
		content, err := os.ReadFile(s.path(entry.Name()))
		if err != nil {
			s.t.Fatal(err)
		}
		all[entry.Name()] = string(content)
	}
	return all
}

// TestSpoolOfAnother: what was written for one server is not sent as another's, nor is anything done to it.
func TestSpoolOfAnother(t *testing.T) {
	for name, owner := range map[string]string{
		"another namespace": "elsewhere/asp1", "a longer name": "relays/asp1" + strings.Repeat("0", 250), "a shorter one": "a/b", "nobody": "",
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, MinBytes)
			s.put(1000)
			s.take(1)
			if err := os.WriteFile(s.path(segmentName(9)), []byte("damaged"), 0o600); err != nil {
				t.Fatal(err)
			}
			s.kill()
			before := s.content()
			theirs := s.o
			theirs.Owner = owner
			_, _, err := Open(theirs)
			if !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), fmt.Sprintf("records of %q, not of %q", s.o.Owner, owner)) {
				t.Errorf("got %v", err)
			}
			if after := s.content(); !maps.Equal(before, after) {
				t.Error("what is in it was changed")
			}
			s.open()
			got, damaged, missing := s.drain()
			if err := same(got, span(1, 1000)); err != nil || damaged+missing != 0 {
				t.Errorf("%v; %d damaged, %d missing", err, damaged, missing)
			}
		})
	}
}

// TestFileOfAnother: one file among ours is enough.
func TestFileOfAnother(t *testing.T) {
	s := newStage(t, MinBytes)
	s.put(3)
	s.kill()
	if err := os.WriteFile(s.path(segmentName(9)), appendFrame([]byte(headerOf("a/b")), record(0), noon), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Open(s.o); !errors.Is(err, ErrForeign) {
		t.Errorf("got %v", err)
	}
	if err := os.Remove(s.path(segmentName(9))); err != nil {
		t.Fatal(err)
	}
	s.open()
	if got, _, _ := s.drain(); same(got, span(0, 3)) != nil {
		t.Errorf("got %v", got)
	}
}

// TestHeaderCutOff: a process that ended while it made a file has left nothing in it, at whichever byte it was.
func TestHeaderCutOff(t *testing.T) {
	header := headerOf("relays/asp1")
	for n := range len(header) {
		s := newStage(t, MinBytes)
		s.put(3)
		if err := os.WriteFile(s.path(segmentName(7)), []byte(header[:n]), 0o600); err != nil {
			t.Fatal(err)
		}
		s.restart()
		if _, err := os.Stat(s.path(segmentName(7))); len(s.found.SetAside) > 0 || !errors.Is(err, os.ErrNotExist) {
			t.Fatalf("after %d bytes: set aside %v, %v", n, s.found.SetAside, err)
		}
		if got, damaged, missing := s.drain(); same(got, span(0, 3)) != nil || damaged+missing > 0 {
			t.Fatalf("after %d bytes: got %v, %d damaged, %d missing", n, got, damaged, missing)
		}
	}
}

func TestOwnerIsOneLine(t *testing.T) {
	for _, owner := range []string{"a\nb", strings.Repeat("x", maxOwnerBytes+1)} {
		if _, _, err := Open(Options{Dir: t.TempDir(), Owner: owner}); err == nil {
			t.Errorf("%.5q is taken", owner)
		}
	}
	if _, _, err := ownerIn([]byte(headerStart + strings.Repeat("x", maxHeaderBytes))); !errors.Is(err, errNotOurs) {
		t.Errorf("a header without an end: %v", err)
	}
}
