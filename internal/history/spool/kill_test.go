package spool

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// appendForEver says on standard output which record it has appended, and that it has acknowledged some.
func appendForEver(dir string) {
	s, found, err := Open(Options{Dir: dir, Owner: "relays/asp1", MaxBytes: 8 << 20})
	if err != nil {
		fmt.Println("error", err)
		return
	}
	for n := firstNumber(s, found); ; n++ {
		err := s.Append([][]byte{record(n)}, time.Now())
		if errors.Is(err, ErrFull) {
			select {} // until killed
		}
		if err != nil {
			fmt.Println("error", err)
			return
		}
		fmt.Println(n)
	}
}

// firstNumber goes on where an earlier process was.
func firstNumber(_ *Spool, found Recovered) uint64 { return uint64(found.Records) } //nolint:gosec // not negative

// TestKilled kills a process while it appends, again and again. All that it said it had appended is there.
func TestKilled(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	var said uint64
	for round := range 8 {
		said = killAfter(t, dir, 200+97*round)
	}
	s := &stage{t: t, o: Options{Dir: dir, Owner: "relays/asp1", MaxBytes: 8 << 20}}
	s.open()
	t.Cleanup(s.kill)
	got, damaged, missing := s.drain()
	if err := same(got, span(0, max(said+1, uint64(len(got))))); err != nil {
		t.Error(err)
	}
	t.Logf("%d records, the last that was told of is %d; %d places damaged, %d missing", len(got), said, damaged, missing)
}

// killAfter kills a process that appends when it has told of so many, and returns the last that it told of.
func killAfter(t *testing.T, dir string, lines int) (said uint64) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), runAs+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	scanner := bufio.NewScanner(out)
	for i := 0; scanner.Scan(); i++ {
		line := scanner.Text()
		if strings.HasPrefix(line, "error") {
			t.Error(line)
			break
		}
		if _, err := fmt.Sscan(line, &said); err != nil {
			t.Error(err)
		}
		if i == lines {
			if err := cmd.Process.Kill(); err != nil {
				t.Error(err)
			}
		}
	}
	_ = cmd.Wait() // it was killed
	return said
}
