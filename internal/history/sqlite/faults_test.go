package sqlite

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tegata-dev/tegata/internal/history"
)

var began = time.Date(2026, 10, 31, 23, 0, 0, 0, time.UTC)

func openStore(t *testing.T, dir string, settings ...string) *Store {
	t.Helper()
	s, err := openWith(t.Context(), dir, settings...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// attempt is the n-th record, always the same: half an hour after the one before, with a user in seven.
func attempt(n int) history.Record {
	random := rand.New(rand.NewPCG(uint64(n), 1)) //nolint:gosec // the same ones each time
	at := began.Add(time.Duration(n) * 30 * time.Minute)
	r := history.Record{
		Namespace: "relays", Server: "asp1", Result: history.Success, Program: "viewer", Viewer: "pc", Slot: "pc",
		User: fmt.Sprintf("user-%d", n%7), UserName: fmt.Sprintf("User %d", n%7), DeviceDigest: fmt.Sprintf("k1:%d", n%14),
		SourceAddress: "192.0.2.7", Listener: "login", Sidecar: "asp1-0", Expire: history.At(at.Add(8 * time.Hour)),
		End: history.Logout, EndTime: history.At(at.Add(time.Duration(n) * time.Second)),
	}
	_ = r.ID.SetTime(uint64(at.UnixMilli())) //nolint:gosec // after 1970
	for i := 6; i < len(r.ID); i++ {
		r.ID[i] = byte(random.Uint32())
	}
	return r
}

func attempts(from, to int) []history.Record {
	var all []history.Record
	for n := from; n < to; n++ {
		all = append(all, attempt(n))
	}
	return all
}

func put(t *testing.T, s *Store, records ...history.Record) {
	t.Helper()
	if _, err := s.Put(t.Context(), records); err != nil {
		t.Fatal(err)
	}
}

// wantWhole compares all that there is with attempts, and the usage with what the records come to.
func wantWhole(t *testing.T, s *Store, want []history.Record) {
	t.Helper()
	var got []history.Record
	q := history.Query{Limit: history.MaxPage}
	for {
		page, err := s.List(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, page.Records...)
		if q.Before = page.Next; q.Before == (history.Position{}) {
			break
		}
	}
	usage := map[string]history.Usage{}
	for i := range want {
		r := &want[len(want)-1-i]
		if i >= len(got) || got[i] != *r {
			t.Fatalf("record %d of %d and %d is not as it was told", i, len(got), len(want))
		}
		u := usage[r.User]
		u.Attempts++
		u.Connected += r.Connected()
		usage[r.User] = u
	}
	if len(got) != len(want) {
		t.Fatalf("there are %d records, want %d", len(got), len(want))
	}
	page, err := s.Usages(t.Context(), history.UsageQuery{Limit: history.MaxPage})
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range page.Usages {
		if want := usage[u.User]; u.Attempts != want.Attempts || u.Connected != want.Connected {
			t.Errorf("usage is %+v, want %d attempts and %s", u, want.Attempts, want.Connected)
		}
		delete(usage, u.User)
	}
	if len(usage) > 0 {
		t.Errorf("there is no usage of %+v", usage)
	}
}

const writerDir = "TEGATA_TEST_HISTORY_DIR"

// TestMain is, as a child of TestKilled, who writes: it tells of each Put that has returned.
func TestMain(m *testing.M) {
	time.Local = time.FixedZone("Pacific/Kiritimati", 14*3600) // as far from UTC as there is: months must not depend on it
	dir := os.Getenv(writerDir)
	if dir == "" {
		os.Exit(m.Run())
	}
	if err := writeUntilKilled(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// killedBatch spans months now and then.
const killedBatch = 40

func writeUntilKilled(dir string) error {
	s, err := Open(context.Background(), dir)
	if err != nil {
		return err
	}
	var from int
	if _, err := fmt.Scan(&from); err != nil {
		return err
	}
	for ; ; from += killedBatch {
		if _, err := s.Put(context.Background(), attempts(from, from+killedBatch)); err != nil {
			return err
		}
		fmt.Println(from + killedBatch)
	}
}

// TestKilled kills who writes again and again. What Put has acknowledged is there, once; what it was told when it
// died is told again, as a sidecar would.
func TestKilled(t *testing.T) {
	dir := t.TempDir()
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // when to kill
	acknowledged := 0
	for range 12 {
		acknowledged = writeAndKill(t, dir, acknowledged, 1+random.IntN(20), time.Duration(random.IntN(4000))*time.Microsecond)
	}
	s := openStore(t, dir)
	put(t, s, attempts(acknowledged, acknowledged+killedBatch)...)
	wantWhole(t, s, attempts(0, acknowledged+killedBatch))
}

// writeAndKill kills after so many batches, and some time in the next.
func writeAndKill(t *testing.T, dir string, from, batches int, into time.Duration) (acknowledged int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), writerDir+"="+dir)
	cmd.Stdin = strings.NewReader(fmt.Sprintln(from))
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	acknowledged = from
	lines := bufio.NewReader(stdout)
	for n := 0; ; n++ {
		if n == batches {
			time.AfterFunc(into, func() { _ = cmd.Process.Kill() })
		}
		line, err := lines.ReadString('\n')
		if errors.Is(err, io.EOF) {
			break
		}
		if _, err := fmt.Sscan(line, &acknowledged); err != nil {
			t.Fatal(err)
		}
	}
	_ = cmd.Wait() // it was killed
	if complaint.Len() > 0 {
		t.Fatal(complaint.String())
	}
	return acknowledged
}

func TestSecondProcessIsRefused(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	if _, err := Open(t.Context(), dir); !errors.Is(err, ErrInUse) {
		t.Fatalf("got %v, want ErrInUse", err)
	}
	put(t, s, attempt(1))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	wantWhole(t, openStore(t, dir), attempts(1, 2))
}

// TestOpenedAgain has what Put acknowledged, what was forgotten, and versions, outlive the process.
func TestOpenedAgain(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	put(t, s, attempts(0, 50)...)
	now := began.Add(10 * time.Hour) // when the 20th began
	if _, err := s.Forget(t.Context(), history.Person{Namespace: "relays", User: "user-3"}, now); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Expire(t.Context(), "relays", "asp2", now); err != nil {
		t.Fatal(err)
	}
	before, err := s.Version(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	s = openStore(t, dir)
	after, err := s.Version(t.Context())
	if err != nil || after <= before {
		t.Errorf("the version is %d after %d, %v", after, before, err)
	}
	if _, err := s.Changes(t.Context(), before, 1); !errors.Is(err, history.ErrTooOld) {
		t.Errorf("changes of before: got %v, want ErrTooOld", err)
	}
	other := attempt(19)
	other.Server = "asp2"
	got, err := s.Put(t.Context(), []history.Record{attempt(3), attempt(10), attempt(24), other})
	if want := (history.Stored{New: 1, Dropped: 3}); err != nil || got != want {
		t.Errorf("put: got %+v, %v, want %+v", got, err, want)
	}
}

// TestDiskFull has a file that may not grow further: nothing of what failed is kept, and what was, is.
func TestDiskFull(t *testing.T) {
	s := openStore(t, t.TempDir(), "max_page_count(60)")
	kept := 0
	for {
		records := attempts(kept, kept+20)
		_, err := s.Put(t.Context(), records)
		if err != nil {
			if !strings.Contains(err.Error(), "full") || !strings.Contains(err.Error(), "2026-11") {
				t.Errorf("the error does not tell: %v", err)
			}
			break
		}
		if kept += 20; kept > 1400 {
			t.Fatal("the file never is full")
		}
	}
	wantWhole(t, s, attempts(0, kept))
	inDecember := attempt(40 * 48)
	put(t, s, inDecember) // another month's file has room
	wantWhole(t, s, append(attempts(0, kept), inDecember))
}

// TestDamagedFile has other months stay readable.
func TestDamagedFile(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	october, november := attempt(0), attempt(10)
	put(t, s, october, november)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "history-2026-10.db")
	if err := os.WriteFile(path, bytes.Repeat([]byte("not a database. "), 1024), 0o600); err != nil {
		t.Fatal(err)
	}

	s = openStore(t, dir)
	got, err := s.Get(t.Context(), "relays", november.ID)
	if diff := cmp.Diff(november, got); err != nil || diff != "" {
		t.Errorf("another month: %v (-want +got):\n%s", err, diff)
	}
	page, err := s.List(t.Context(), history.Query{Limit: 10, Filter: history.Filter{Since: november.Start().Time()}})
	if err != nil || len(page.Records) != 1 {
		t.Errorf("a page of another month: got %+v, %v", page, err)
	}
	for name, do := range map[string]func() error{
		"get":  func() error { _, err := s.Get(t.Context(), "relays", october.ID); return err },
		"list": func() error { _, err := s.List(t.Context(), history.Query{Limit: 10}); return err },
		"put":  func() error { _, err := s.Put(t.Context(), []history.Record{october, attempt(11)}); return err },
	} {
		if err := do(); err == nil || errors.Is(err, history.ErrNotFound) || !strings.Contains(err.Error(), "2026-10") {
			t.Errorf("%s: the error does not tell: %v", name, err)
		}
	}
	if _, err := s.Get(t.Context(), "relays", attempt(11).ID); !errors.Is(err, history.ErrNotFound) {
		t.Errorf("a record of a Put that failed: got %v, want ErrNotFound", err)
	}
	put(t, s, attempt(11))
}

// TestNewerFile refuses what a later program has written.
func TestNewerFile(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	put(t, s, attempt(0))
	if _, err := s.recent[0].writeDB.ExecContext(t.Context(), "PRAGMA user_version = 2"); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, dir)
	if _, err := s.Get(t.Context(), "relays", attempt(0).ID); err == nil || !strings.Contains(err.Error(), "version 2") {
		t.Errorf("got %v, want an error that tells the version", err)
	}
}

// TestForgottenIsErased looks for the names in the bytes of the files.
func TestForgottenIsErased(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	const marks = 12
	for n := range 30 {
		var batch []history.Record
		for i := range 50 { // scattered over users, so that pages are split and merged
			r := attempt((n*50 + i) % 1300)
			r.ID[15], r.ID[14] = byte(i), byte(n) // no two the same
			r.User = fmt.Sprintf("user-%d", (n*7919+i*104729)%997)
			r.UserName = "typed " + r.User
			if i == 7 {
				r.User, r.UserName = fmt.Sprintf("zebra-%d", n%marks), fmt.Sprintf("Zebra Typed %d", n%marks)
				r.Destination, r.DeviceDigest = "desk-of-zebra", "k1:zebra"
			}
			batch = append(batch, r)
		}
		put(t, s, batch...)
	}
	if !inFiles(t, dir, "zebra") || !inFiles(t, dir, "Zebra") {
		t.Fatal("the names are not in the files to begin with")
	}
	for n := range marks {
		who := history.Person{Namespace: "relays", User: fmt.Sprintf("zebra-%d", n), UserName: fmt.Sprintf("Zebra Typed %d", n)}
		if erased, err := s.Forget(t.Context(), who, began.AddDate(1, 0, 0)); err != nil || erased == 0 {
			t.Fatalf("%d are forgotten, %v", erased, err)
		}
	}
	for _, name := range []string{"zebra", "Zebra"} {
		if inFiles(t, dir, name) {
			t.Errorf("%s is in a file", name)
		}
	}
}

func inFiles(t *testing.T, dir, name string) bool {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, file := range files {
		content, err := os.ReadFile(filepath.Join(dir, file.Name()))
		if err != nil {
			t.Fatal(err)
		}
		found = found || bytes.Contains(content, []byte(name))
	}
	return found
}

// TestManyMonths has more months than may be open.
func TestManyMonths(t *testing.T) {
	s := openStore(t, t.TempDir())
	var all []history.Record
	for n := range maxOpen + 3 {
		all = append(all, attempt(n*31*48))
	}
	put(t, s, all...)
	wantWhole(t, s, all)
	s.mu.Lock()
	open := len(s.open)
	s.mu.Unlock()
	if open > maxOpen || len(s.recent) > maxRecent {
		t.Errorf("%d months are open, %d for writing", open, len(s.recent))
	}
}
