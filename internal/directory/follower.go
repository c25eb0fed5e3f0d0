package directory

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	defaultPageSize = 500
	minBackoff      = 100 * time.Millisecond
	maxBackoff      = 5 * time.Second
	// A watch is ended by the server after a time in this range and then taken up again.
	minWatch = 5 * time.Minute
	maxWatch = 10 * time.Minute
	// A list that takes longer has lost its server.
	listTimeout = 2 * time.Minute
)

// sink takes what a follower reads, from one goroutine.
type sink[T client.Object] interface {
	// begin starts a list; commit ends it: what it did not hold is gone.
	begin()
	commit(resourceVersion string)
	put(obj T, listed bool)
	remove(obj T)
	// observed follows every event, and a bookmark, which has no event.
	observed(resourceVersion string)
}

// follower keeps a sink current: a consistent list in pages, a watch from there, and again when the watch
// cannot go on. It is not client-go's Reflector because it must hold one page at a time, not a whole
// list of objects, must list consistently (a list from the API server's watch cache may be older than
// a reset that is already Complete), and must be able to list anew on demand.
type follower[T client.Object] struct {
	followed[T]
	// pageSize is how many objects a page of a list has.
	pageSize int64

	mu      sync.Mutex
	failing time.Time // since when neither list nor watch has succeeded; zero while one does
	waiters []chan struct{}
	wake    chan struct{}
	synced  chan struct{}
	once    sync.Once
}

// followed is what to follow, and where it goes.
type followed[T client.Object] struct {
	client  client.WithWatch
	newList func() client.ObjectList
	items   func(client.ObjectList) []T
	options []client.ListOption
	sink    sink[T]
	log     logr.Logger
}

func newFollower[T client.Object](what followed[T]) *follower[T] {
	return &follower[T]{followed: what, pageSize: defaultPageSize, wake: make(chan struct{}, 1), synced: make(chan struct{})}
}

// run follows until ctx ends.
func (f *follower[T]) run(ctx context.Context) {
	backoff := minBackoff
	for ctx.Err() == nil {
		waiters := f.takeWaiters()
		resourceVersion, err := f.list(ctx)
		if err != nil {
			f.putBack(waiters)
			f.failed(ctx, "List failed", err)
			f.pause(ctx, &backoff)
			continue
		}
		f.succeeded()
		f.once.Do(func() { close(f.synced) })
		for _, w := range waiters {
			close(w)
		}
		if f.watch(ctx, resourceVersion) {
			backoff = minBackoff
			continue
		}
		// A watch that ended before it told anything may do so again: the lists are spaced, too.
		f.pause(ctx, &backoff)
	}
}

// resync lists anew, with a list that begins after the call, and waits for it.
func (f *follower[T]) resync(ctx context.Context) error {
	done := make(chan struct{})
	f.mu.Lock()
	f.waiters = append(f.waiters, done)
	f.mu.Unlock()
	select {
	case f.wake <- struct{}{}:
	default:
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("list anew: %w", context.Cause(ctx))
	}
}

func (f *follower[T]) takeWaiters() []chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	select {
	case <-f.wake:
	default:
	}
	taken := f.waiters
	f.waiters = nil
	return taken
}

func (f *follower[T]) putBack(waiters []chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.waiters = append(waiters, f.waiters...)
}

func (f *follower[T]) list(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	f.sink.begin()
	page := f.newList()
	next := ""
	for {
		options := append([]client.ListOption{client.Limit(f.pageSize), client.Continue(next)}, f.options...)
		if err := f.client.List(ctx, page, options...); err != nil {
			return "", err
		}
		for _, obj := range f.items(page) {
			f.sink.put(obj, true)
		}
		next = page.GetContinue()
		if next == "" {
			f.sink.commit(page.GetResourceVersion())
			return page.GetResourceVersion(), nil
		}
	}
}

// watch applies events until a fresh list is needed, and says whether it is needed at once: because
// somebody asked for it, or because the watch had told something before it ended.
func (f *follower[T]) watch(ctx context.Context, resourceVersion string) (atOnce bool) {
	backoff := minBackoff
	for ctx.Err() == nil {
		progressed, relist := f.watchOnce(ctx, &resourceVersion)
		atOnce = atOnce || progressed
		if relist {
			return atOnce
		}
		if progressed {
			backoff = minBackoff
			continue
		}
		f.pause(ctx, &backoff)
		if f.wanted() {
			return true
		}
	}
	return atOnce
}

func (f *follower[T]) watchOnce(ctx context.Context, resourceVersion *string) (progressed, relist bool) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	timeout := int64((minWatch + rand.N(maxWatch-minWatch)).Seconds())
	options := append([]client.ListOption{&client.ListOptions{Raw: &metav1.ListOptions{
		ResourceVersion: *resourceVersion, AllowWatchBookmarks: true, TimeoutSeconds: &timeout,
	}}}, f.options...)
	w, err := f.client.Watch(ctx, f.newList(), options...)
	if err != nil {
		f.failed(ctx, "Watch failed", err)
		return false, isExpired(err)
	}
	f.succeeded()
	defer w.Stop()
	for {
		select {
		case <-ctx.Done():
			return progressed, false
		case <-f.wake:
			return true, true
		case event, open := <-w.ResultChan():
			if !open {
				return progressed, false
			}
			if err := f.apply(event, resourceVersion); err != nil {
				// Only a list shows whether what is followed can be read again.
				f.failed(ctx, "Watch ended", err)
				return progressed, true
			}
			progressed = true
		}
	}
}

func (f *follower[T]) apply(event watch.Event, resourceVersion *string) error {
	if event.Type == watch.Error {
		return apierrors.FromObject(event.Object)
	}
	obj, ok := event.Object.(T)
	if !ok {
		return fmt.Errorf("watch sent a %T", event.Object)
	}
	switch event.Type {
	case watch.Added, watch.Modified:
		f.sink.put(obj, false)
	case watch.Deleted:
		f.sink.remove(obj)
	case watch.Bookmark, watch.Error:
	}
	*resourceVersion = obj.GetResourceVersion()
	f.sink.observed(*resourceVersion)
	return nil
}

func (f *follower[T]) wanted() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.waiters) > 0
}

// failingSince is since when what is followed could not be read; zero while it can.
func (f *follower[T]) failingSince() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.failing
}

func (f *follower[T]) succeeded() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failing = time.Time{}
}

func (f *follower[T]) failed(ctx context.Context, what string, err error) {
	f.mu.Lock()
	if f.failing.IsZero() {
		f.failing = time.Now()
	}
	f.mu.Unlock()
	if ctx.Err() == nil && !errors.Is(err, context.Canceled) {
		f.log.Info(what+", trying again", "error", err.Error())
	}
}

// pause waits, longer each time, unless a fresh list is wanted.
func (f *follower[T]) pause(ctx context.Context, backoff *time.Duration) {
	timer := time.NewTimer(*backoff/2 + rand.N(*backoff))
	defer timer.Stop()
	*backoff = min(*backoff*2, maxBackoff)
	select {
	case <-timer.C:
	case <-ctx.Done():
	case <-f.wake:
	}
}

// isExpired says that a watch cannot go on from its resourceVersion.
func isExpired(err error) bool {
	return apierrors.IsResourceExpired(err) || apierrors.IsGone(err)
}
