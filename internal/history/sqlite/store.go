package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/tegata-dev/tegata/internal/history"
	"github.com/tegata-dev/tegata/internal/history/batching"
)

// maxOpen is how many months are open at once, but for those in use.
const maxOpen = 12

// maxRecent is how many months keep what makes writing quick, which is much: this month and, in its first days, the
// one before.
const maxRecent = 2

var (
	// ErrInUse says that another process has the directory open.
	ErrInUse  = errors.New("another process uses this directory")
	errClosed = errors.New("the store of history is closed")
)

// Store is a directory with history.
type Store struct {
	dir  string
	lock *os.File
	meta *meta
	feed *feed
	// line is of who waits to Put. writer is held by who writes: one at a time, whichever month.
	line   *batching.Line
	writer chan struct{}
	// recent are the months that were written last, of who holds writer. Each is in use.
	recent []*month
	// What tests change: settings are added to those of the connections that write.
	settings []string
	maxRead  int
	maxLog   int64

	mu      sync.Mutex
	closed  bool
	idle    *sync.Cond // some month is less in use
	clock   uint64     // counts uses
	open    map[monthKey]*month
	opening map[monthKey]bool
	months  []monthKey // all that there are, in order
	settled map[monthKey]bool
}

var _ history.Store = (*Store)(nil)

// Open opens a directory, making it when there is none. The error is ErrInUse when another process has it open.
func Open(ctx context.Context, dir string) (*Store, error) { return openWith(ctx, dir) }

func openWith(ctx context.Context, dir string, settings ...string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open history: %w", err)
	}
	lock, err := lockDirectory(dir)
	if err != nil {
		return nil, fmt.Errorf("open history in %s: %w", dir, err)
	}
	s := &Store{
		dir: dir, lock: lock, writer: make(chan struct{}, 1), settings: settings, maxRead: maxRead, maxLog: maxLogBytes,
		open: map[monthKey]*month{}, opening: map[monthKey]bool{}, settled: map[monthKey]bool{},
	}
	s.idle = sync.NewCond(&s.mu)
	s.line = batching.New(batching.Writer{Write: s.put, Alone: func(err error) bool { return !errors.Is(err, errClosed) }})
	if err := s.load(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open history in %s: %w", dir, err), s.Close())
	}
	return s, nil
}

func lockDirectory(dir string) (*os.File, error) {
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = ErrInUse
		}
		return nil, errors.Join(err, lock.Close())
	}
	return lock, nil
}

var fileName = regexp.MustCompile(`^history-(\d{4,5})-(0[1-9]|1[012])\.db$`)

func (s *Store) path(key monthKey) string {
	return filepath.Join(s.dir, "history-"+key.String()+".db")
}

func (s *Store) load(ctx context.Context) error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if parts := fileName.FindStringSubmatch(e.Name()); parts != nil {
			year, _ := strconv.Atoi(parts[1])  // up to five digits
			month, _ := strconv.Atoi(parts[2]) // two digits
			s.months = append(s.months, monthKey(year*12+month-1))
		}
	}
	slices.Sort(s.months)
	if s.meta, err = openMeta(ctx, filepath.Join(s.dir, "meta.db")); err != nil {
		return fmt.Errorf("meta.db: %w", err)
	}
	version, err := s.meta.reserveVersions(ctx, uint64(time.Now().UnixMicro())) //nolint:gosec // after 1970
	s.feed = newFeed(version)
	return err
}

// acquire is an open month; nil when there is none and it is not to be made. Who gets one must release it.
func (s *Store) acquire(ctx context.Context, key monthKey, create bool) (*month, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.opening[key] && !s.closed {
		s.idle.Wait()
	}
	if s.closed {
		return nil, errClosed
	}
	_, there := slices.BinarySearch(s.months, key)
	m := s.open[key]
	if m != nil && m.dropping || m == nil && !there && !create {
		return nil, nil
	}
	if m == nil {
		var err error
		if m, err = s.openLocked(ctx, key); err != nil {
			return nil, fmt.Errorf("open the month %s: %w", key, err)
		}
	}
	s.clock++
	m.used = s.clock
	m.refs++
	return m, nil
}

// openLocked lets go of the mutex while it opens the file.
func (s *Store) openLocked(ctx context.Context, key monthKey) (*month, error) {
	s.opening[key] = true
	s.mu.Unlock()
	m, err := openMonth(context.WithoutCancel(ctx), key, s.path(key), s.settings...)
	if _, there := slices.BinarySearch(s.allMonths(), key); err == nil && !there {
		if err = syncDirectory(s.dir); err != nil {
			err = errors.Join(err, m.close())
		}
	}
	s.mu.Lock()
	delete(s.opening, key)
	s.idle.Broadcast()
	if err != nil {
		return nil, err
	}
	if s.closed {
		return nil, errors.Join(errClosed, m.close())
	}
	s.open[key] = m
	if i, there := slices.BinarySearch(s.months, key); !there {
		s.months = slices.Insert(s.months, i, key)
	}
	return m, nil
}

// release lets go of a month, and closes the one that was not used for longest where too many are open.
func (s *Store) release(m *month) error {
	s.mu.Lock()
	m.refs--
	s.idle.Broadcast()
	var oldest *month
	if len(s.open) > maxOpen {
		for _, o := range s.open {
			if o.refs == 0 && !o.dropping && (oldest == nil || o.used < oldest.used) {
				oldest = o
			}
		}
	}
	if oldest == nil {
		s.mu.Unlock()
		return nil
	}
	// The file must be closed before it is opened again: who closes it last may write into it.
	delete(s.open, oldest.key)
	s.opening[oldest.key] = true
	s.mu.Unlock()
	err := oldest.close()
	s.mu.Lock()
	delete(s.opening, oldest.key)
	s.idle.Broadcast()
	s.mu.Unlock()
	if err != nil {
		return fmt.Errorf("close the month %s: %w", oldest.key, err)
	}
	return nil
}

// with runs f with a month, unless there is none.
func (s *Store) with(ctx context.Context, key monthKey, f func(*month) error) error {
	m, err := s.acquire(ctx, key, false)
	if m == nil || err != nil {
		return err
	}
	err = f(m)
	if err != nil {
		err = fmt.Errorf("the month %s: %w", key, err)
	}
	return errors.Join(err, s.release(m))
}

// allMonths are those that there are, in order.
func (s *Store) allMonths() []monthKey {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.months)
}

// startWriting waits for its turn to write. Who was let must stop.
func (s *Store) startWriting(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case s.writer <- struct{}{}:
	}
	s.mu.Lock()
	closed := s.closed
	s.mu.Unlock()
	if closed {
		s.stopWriting()
		return errClosed
	}
	return ctx.Err()
}

func (s *Store) stopWriting() { <-s.writer }

// wrote tells that a month is being written: it stays in use, and others that were stop being so.
func (s *Store) wrote(m *month) error {
	if i := slices.Index(s.recent, m); i >= 0 {
		s.recent = slices.Insert(slices.Delete(s.recent, i, i+1), 0, m)
		return nil
	}
	s.mu.Lock()
	m.refs++
	s.mu.Unlock()
	s.recent = slices.Insert(s.recent, 0, m)
	return s.writeNoMoreThan(maxRecent)
}

func (s *Store) writeNoMoreThan(n int) error {
	var errs []error
	for len(s.recent) > n {
		last := s.recent[len(s.recent)-1]
		s.recent = s.recent[:len(s.recent)-1]
		errs = append(errs, last.stopWriting(), s.release(last))
	}
	return errors.Join(errs...)
}

// Ping reads from the file that is always open.
func (s *Store) Ping(ctx context.Context) error {
	s.mu.Lock()
	closed := s.closed
	s.mu.Unlock()
	if closed {
		return errClosed
	}
	return s.meta.ping(ctx)
}

// Close waits for who reads or writes, and closes all files.
func (s *Store) Close() error {
	s.writer <- struct{}{}
	defer s.stopWriting()
	errs := []error{s.writeNoMoreThan(0)}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.idle.Broadcast()
	for len(s.opening) > 0 || slices.ContainsFunc(s.inUse(), func(m *month) bool { return m.refs > 0 }) {
		s.idle.Wait()
	}
	open := s.inUse()
	clear(s.open)
	s.mu.Unlock()
	for _, m := range open {
		errs = append(errs, m.close())
	}
	if s.meta != nil {
		errs = append(errs, s.meta.close())
	}
	if s.feed != nil {
		s.feed.close()
	}
	return errors.Join(append(errs, s.lock.Close())...)
}

func (s *Store) inUse() []*month {
	var all []*month
	for _, m := range s.open {
		all = append(all, m)
	}
	return all
}

// isNone says whether a row was not there.
func isNone(err error) bool { return errors.Is(err, sql.ErrNoRows) }
