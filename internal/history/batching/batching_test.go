package batching

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tegata-dev/tegata/internal/history"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errBad = errors.New("a bad batch")

// disk writes batches when it is let, and notes which were written together, by how many records each has.
type disk struct {
	began   chan int      // told how many batches are being written
	let     chan struct{} // one for each transaction
	mu      sync.Mutex
	written [][]int
	bad     int // a batch of so many records fails
}

func newDisk() *disk { return &disk{began: make(chan int, 100), let: make(chan struct{})} }

func (d *disk) write(ctx context.Context, batches [][]history.Record) ([]history.Stored, error) {
	d.began <- len(batches)
	select {
	case <-d.let:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	var sizes []int
	stored := make([]history.Stored, len(batches))
	for i, b := range batches {
		if len(b) == d.bad {
			return nil, errBad
		}
		sizes = append(sizes, len(b))
		stored[i].New = len(b)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.written = append(d.written, sizes)
	return stored, nil
}

func isBad(err error) bool { return errors.Is(err, errBad) }

// line has a batch of one record being written, and others in line behind it.
func line(t *testing.T, d *disk) (l *Line, put func(ctx context.Context, size int) <-chan error) {
	l = New(Writer{Write: d.write, Alone: isBad})
	put = func(ctx context.Context, size int) <-chan error {
		l.mu.Lock()
		before := len(l.waiting)
		l.mu.Unlock()
		done := make(chan error, 1)
		go func() {
			stored, err := l.Put(ctx, make([]history.Record, size))
			if want := (history.Stored{New: size}); err == nil && stored != want {
				err = fmt.Errorf("got %+v, want %+v", stored, want)
			}
			done <- err
		}()
		for wait := time.Now().Add(time.Minute); time.Now().Before(wait); {
			l.mu.Lock()
			now := len(l.waiting)
			l.mu.Unlock()
			if now > before {
				return done
			}
		}
		t.Error("the batch does not come into the line")
		return done
	}
	first := make(chan error, 1)
	go func() {
		_, err := l.Put(context.Background(), make([]history.Record, 1))
		first <- err
	}()
	<-d.began
	t.Cleanup(func() {
		if err := <-first; err != nil {
			t.Error(err)
		}
	})
	return l, put
}

func wantDone(t *testing.T, want error, all ...<-chan error) {
	t.Helper()
	for _, done := range all {
		if err := <-done; !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
	}
}

func (d *disk) want(t *testing.T, want ...[]int) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if !slices.EqualFunc(d.written, want, slices.Equal) {
		t.Errorf("written together: %v, want %v", d.written, want)
	}
}

func TestTogether(t *testing.T) {
	d := newDisk()
	_, put := line(t, d)
	a, b, c := put(t.Context(), 2), put(t.Context(), 3), put(t.Context(), 4)
	d.let <- struct{}{}
	if n := <-d.began; n != 3 {
		t.Errorf("%d batches are written together, want 3", n)
	}
	select {
	case err := <-a:
		t.Errorf("who sent a batch is told before it is written: %v", err)
	default:
	}
	d.let <- struct{}{}
	wantDone(t, nil, a, b, c)
	d.want(t, []int{1}, []int{2, 3, 4})
}

// TestBounded has more in line than may be written at a time, and one batch that is larger than that.
func TestBounded(t *testing.T) {
	d := newDisk()
	_, put := line(t, d)
	a, b, c := put(t.Context(), maxTogether-1), put(t.Context(), 2), put(t.Context(), 2*maxTogether)
	for range 4 {
		d.let <- struct{}{}
	}
	wantDone(t, nil, a, b, c)
	d.want(t, []int{1}, []int{maxTogether - 1}, []int{2}, []int{2 * maxTogether})
}

// TestOneFails has a batch that cannot be written: it fails alone.
func TestOneFails(t *testing.T) {
	d := newDisk()
	d.bad = 3
	_, put := line(t, d)
	a, bad, c := put(t.Context(), 2), put(t.Context(), 3), put(t.Context(), 4)
	for range 1 + 1 + 3 { // the first, all together, and each alone
		d.let <- struct{}{}
	}
	wantDone(t, nil, a, c)
	wantDone(t, errBad, bad)
	d.want(t, []int{1}, []int{2}, []int{4})
}

// TestGivenUp has batches that nobody waits for any more: one in line is left out, one that is being written with
// another's is written, and what nobody at all waits for is ended.
func TestGivenUp(t *testing.T) {
	d := newDisk()
	_, put := line(t, d)
	gone, leave := context.WithCancel(t.Context())
	inLine := put(gone, 2)
	leave()
	wantDone(t, context.Canceled, inLine)

	gone, leave = context.WithCancel(t.Context())
	a, b := put(gone, 3), put(t.Context(), 4)
	d.let <- struct{}{}
	<-d.began
	leave()
	d.let <- struct{}{}
	wantDone(t, nil, a, b)
	d.want(t, []int{1}, []int{3, 4})
}

func TestNobodyWaits(t *testing.T) {
	d := newDisk()
	l := New(Writer{Write: d.write, Alone: isBad})
	gone, leave := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := l.Put(gone, make([]history.Record, 1))
		done <- err
	}()
	<-d.began
	leave()
	wantDone(t, context.Canceled, done)
	if _, err := l.Put(gone, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("a batch that was given up before: got %v", err)
	}
}
