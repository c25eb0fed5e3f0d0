package sqlite

import (
	"context"
	"slices"
	"sync"

	"github.com/tegata-dev/tegata/internal/history"
)

// maxChanges is how many of the recent changes are kept, in memory.
const maxChanges = 8192

// feed is the recent changes.
type feed struct {
	mu      sync.Mutex
	closed  bool
	version uint64
	// recent are those up to version, oldest first; before them was oldest.
	recent []history.Change
	oldest uint64
	more   chan struct{} // closed when there is more
}

func newFeed(version uint64) *feed {
	return &feed{version: version, oldest: version, more: make(chan struct{})}
}

// add has the changes follow, numbering them.
func (f *feed) add(changes []history.Change) {
	if len(changes) == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range changes {
		f.version++
		changes[i].Version = f.version
	}
	f.recent = append(f.recent, changes...)
	if over := len(f.recent) - maxChanges; over > 0 {
		f.oldest = f.recent[over-1].Version
		// the array is used again: to slice it would keep what is forgotten
		f.recent = slices.Delete(f.recent, 0, over)
	}
	f.wake()
}

// reset has everybody list anew.
func (f *feed) reset() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.version++
	f.oldest, f.recent = f.version, nil
	f.wake()
}

func (f *feed) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	f.wake()
}

func (f *feed) wake() {
	close(f.more)
	f.more = make(chan struct{})
}

// since is the changes after a version, and what is closed when there are more. A version that was never given is
// of another directory: that of a copy that was put back, say.
func (f *feed) since(after uint64, limit int) ([]history.Change, <-chan struct{}, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, nil, errClosed
	}
	if after < f.oldest || after > f.version {
		return nil, nil, history.ErrTooOld
	}
	i, _ := slices.BinarySearchFunc(f.recent, after+1, func(c history.Change, v uint64) int {
		switch {
		case c.Version < v:
			return -1
		case c.Version > v:
			return 1
		}
		return 0
	})
	return slices.Clone(f.recent[i:min(len(f.recent), i+max(limit, 1))]), f.more, nil
}

// Version is that of the newest change.
func (s *Store) Version(context.Context) (uint64, error) {
	s.feed.mu.Lock()
	defer s.feed.mu.Unlock()
	if s.feed.closed {
		return 0, errClosed
	}
	return s.feed.version, nil
}

// Changes are those after a version. Versions grow over restarts, but changes do not outlive the process.
func (s *Store) Changes(ctx context.Context, after uint64, limit int) ([]history.Change, error) {
	for {
		changes, more, err := s.feed.since(after, limit)
		if err != nil || len(changes) > 0 {
			return changes, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-more:
		}
	}
}
