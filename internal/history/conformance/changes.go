package conformance

import (
	"context"
	"errors"
	"maps"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/tegata-dev/tegata/internal/history"
)

func (s *subject) version() uint64 {
	s.t.Helper()
	v, err := s.store.Version(s.t.Context())
	if err != nil {
		s.t.Fatalf("version: %v", err)
	}
	return v
}

// follow reads the changes after a version until those of the newest one.
func (s *subject) follow(after uint64, limit int) []history.Change {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	newest := s.version()
	var all []history.Change
	for after < newest {
		changes, err := s.store.Changes(ctx, after, limit)
		if err != nil {
			s.t.Fatalf("changes after %d: %v", after, err)
		}
		if len(changes) == 0 || len(changes) > limit {
			s.t.Fatalf("got %d changes, want 1 to %d", len(changes), limit)
		}
		for _, c := range changes {
			if c.Version <= after {
				s.t.Fatalf("version %d follows %d", c.Version, after)
			}
			after = c.Version
		}
		all = append(all, changes...)
	}
	return all
}

// replay is what follows of changes for who has listed before.
func replay(t *testing.T, m *model, changes []history.Change) {
	t.Helper()
	for _, c := range changes {
		key := modelKey{c.Record.Namespace, c.Record.ID}
		_, there := m.records[key]
		if there != (c.Type != history.Added) {
			t.Fatalf("%s: record %s, and it being there is %v", c.Type, c.Record.ID, there)
		}
		if c.Type == history.Deleted {
			delete(m.records, key)
			continue
		}
		m.records[key] = c.Record
	}
}

func testChanges(t *testing.T, s *subject) {
	m, listed := fill(t, s, 20)
	version := s.version()
	tellings := m.shuffled(m.tellings(100))
	for _, batch := range m.batches(tellings, 30) {
		s.put(batch...)
	}
	got := newModel()
	maps.Copy(got.records, listed.records)
	replay(t, got, s.follow(version, 7))
	if diff := gocmp.Diff(newestFirst(s.list(history.Filter{}, history.MaxPage)), got.matching(history.Filter{})); diff != "" {
		t.Errorf("listed, and followed (-listed +followed):\n%s", diff)
	}

	version = s.version()
	s.put(tellings...)
	if after := s.version(); after != version {
		t.Errorf("told again: version is %d, want %d", after, version)
	}
}

func testChangesWait(t *testing.T, s *subject) {
	m := newMaker()
	s.put(m.success(began, "jiro"))
	version := s.version()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if changes, err := s.store.Changes(ctx, version, 10); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("nothing changed: got %+v, %v, want a deadline that was exceeded", changes, err)
	}
	type answer struct {
		changes []history.Change
		err     error
	}
	answers := make(chan answer, 3)
	ctx, cancel = context.WithTimeout(t.Context(), patience)
	defer cancel()
	for range cap(answers) {
		go func() {
			changes, err := s.store.Changes(ctx, version, 10)
			answers <- answer{changes, err}
		}()
	}
	r := m.success(began, "taro")
	s.put(r)
	for range cap(answers) {
		got := <-answers
		if got.err != nil || len(got.changes) != 1 || got.changes[0].Type != history.Added || got.changes[0].Version <= version {
			t.Fatalf("got %+v, want one that was added", got)
		}
		if diff := gocmp.Diff(r, got.changes[0].Record); diff != "" {
			t.Errorf("what was added (-want +got):\n%s", diff)
		}
	}
}

func testChangesTooOld(t *testing.T, s *subject) {
	m := newMaker()
	s.put(m.success(began, "taro"))
	version := s.version()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for ctx.Err() == nil {
		batch := make([]history.Record, history.MaxBatch)
		for i := range batch {
			batch[i] = m.failure(began, "jiro", "PasswordMismatch")
		}
		s.put(batch...)
		changes, err := s.store.Changes(ctx, version, 1)
		if errors.Is(err, history.ErrTooOld) {
			return
		}
		if err != nil || len(changes) != 1 || changes[0].Version <= version {
			t.Fatalf("got %+v, %v", changes, err)
		}
	}
	t.Error("every change is kept for ever")
}

// followDeletions is what follows for who has listed the model before; who is told that it is too long ago lists anew.
func (s *subject) followDeletions(m *model, version uint64) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	if s.version() == version {
		s.t.Fatal("records are gone, and the version is as before")
	}
	if _, err := s.store.Changes(ctx, version, 1); errors.Is(err, history.ErrTooOld) {
		return
	}
	replay(s.t, m, s.follow(version, history.MaxPage))
	if diff := gocmp.Diff(s.list(history.Filter{}, history.MaxPage), m.matching(history.Filter{}), equateEmpty); diff != "" {
		s.t.Errorf("listed, and followed (-listed +followed):\n%s", diff)
	}
}
