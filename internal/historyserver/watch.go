package historyserver

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	genericrequest "k8s.io/apiserver/pkg/endpoints/request"

	"github.com/tegata-dev/tegata/api/history/v1alpha1"
	"github.com/tegata-dev/tegata/internal/history"
)

const (
	// maxWatches bounds those who watch: each holds a page of changes.
	maxWatches = 200
	// maxWatchesOfOne are those of one user.
	maxWatchesOfOne = 50
	// changesAtOnce bounds what a watch holds.
	changesAtOnce = 100
	// bookmarkInterval is how often a client is told the version: its selectors may hide the changes.
	bookmarkInterval = time.Minute
)

// Watch tells what is recorded from a version on. Without one it tells first what there is.
func (r *records) Watch(ctx context.Context, options *metainternalversion.ListOptions) (watch.Interface, error) {
	if options == nil {
		options = &metainternalversion.ListOptions{}
	}
	asked, err := recordSelectors.parse(genericrequest.NamespaceValue(ctx), options, r.now())
	if err != nil {
		return nil, err
	}
	from, err := parseVersion(options.ResourceVersion)
	if err != nil {
		return nil, err
	}
	w := &recordWatch{records: r, asked: asked, events: make(chan watch.Event), bookmarks: options.AllowWatchBookmarks, bookmarked: time.Now()}
	initial := options.SendInitialEvents
	w.initial = initial == nil && from == 0 || initial != nil && *initial
	w.marked = initial != nil && *initial
	if w.version, err = r.store.Version(ctx); err != nil {
		return nil, r.failed(ctx, "read the version", err)
	}
	if err := checkVersion(options, w.version); err != nil {
		return nil, err
	}
	if from != 0 && !w.initial {
		w.version = from
	}
	if who, ok := genericrequest.UserFrom(ctx); ok {
		w.who = who.GetName()
	}
	if !r.watches.enter(w.who) {
		return nil, apierrors.NewTooManyRequests("too many clients watch", 1)
	}
	r.metrics.watching(1)
	ctx, w.stop = context.WithCancel(ctx)
	w.running.Go(func() { w.run(ctx) })
	return w, nil
}

// recordWatch is one client's watch.
type recordWatch struct {
	records *records
	asked   *selected
	who     string
	version uint64 // up to which everything was told
	// initial has what there is told first; marked, told that it was all.
	initial, marked, bookmarks bool
	bookmarked                 time.Time // when the client was last told the version

	events  chan watch.Event
	stop    context.CancelFunc
	running sync.WaitGroup
}

// Stop ends the watch, and waits until it has ended.
func (w *recordWatch) Stop() {
	w.stop()
	w.running.Wait()
}

// ResultChan is closed when the watch has ended.
func (w *recordWatch) ResultChan() <-chan watch.Event { return w.events }

func (w *recordWatch) run(ctx context.Context) {
	defer func() {
		w.records.watches.leave(w.who)
		w.records.metrics.watching(-1)
		close(w.events)
	}()
	err := w.tellAll(ctx)
	for err == nil {
		err = w.tellChanges(ctx)
	}
	if ctx.Err() != nil {
		return
	}
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		s := status.Status()
		w.tell(ctx, watch.Event{Type: watch.Error, Object: &s})
	}
}

// tell says whether the client has taken the event.
func (w *recordWatch) tell(ctx context.Context, event watch.Event) bool {
	select {
	case w.events <- event:
		return true
	case <-ctx.Done():
		return false
	}
}

// tellAll tells what there is, a page at a time: however much it is, no more of it is in memory. What changes
// meanwhile is told after it, and again where it was told already.
func (w *recordWatch) tellAll(ctx context.Context) error {
	if !w.initial {
		return nil
	}
	var before history.Position
	for {
		page, err := w.records.page(ctx, w.asked, before, changesAtOnce)
		if err != nil {
			return err
		}
		for i := range page.Records {
			record := toAPI(&page.Records[i], formatVersion(w.version))
			if !w.tell(ctx, watch.Event{Type: watch.Added, Object: &record}) {
				return ctx.Err()
			}
		}
		if before = page.Next; before == (history.Position{}) {
			break
		}
	}
	if w.marked && w.bookmarks {
		return w.bookmark(ctx, map[string]string{metav1.InitialEventsAnnotationKey: "true"})
	}
	return nil
}

// tellChanges tells the next changes, and now and then up to where they were told.
func (w *recordWatch) tellChanges(ctx context.Context) error {
	every := w.records.bookmarkEvery
	if time.Since(w.bookmarked) >= every {
		if err := w.bookmark(ctx, nil); err != nil {
			return err
		}
	}
	wait, cancel := context.WithTimeout(ctx, every)
	defer cancel()
	changes, err := w.records.store.Changes(wait, w.version, changesAtOnce)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return ctx.Err()
	case wait.Err() != nil: // whatever the database makes of that
		return nil
	case errors.Is(err, history.ErrTooOld):
		return expiredVersion()
	default:
		return w.records.failed(ctx, "read changes", err)
	}
	for i := range changes {
		if err := w.tellChange(ctx, &changes[i]); err != nil {
			return err
		}
	}
	return nil
}

// expiredVersion has a client list anew.
func expiredVersion() error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusGone, Reason: metav1.StatusReasonExpired,
		Message: "the changes since that resourceVersion are not all known any more: list again",
	}}
}

var eventTypes = map[history.ChangeType]watch.EventType{
	history.Added: watch.Added, history.Modified: watch.Modified, history.Deleted: watch.Deleted,
}

func (w *recordWatch) tellChange(ctx context.Context, change *history.Change) error {
	w.version = change.Version
	if !w.asked.matches(&change.Record) {
		return nil
	}
	record := toAPI(&change.Record, formatVersion(change.Version))
	if !w.tell(ctx, watch.Event{Type: eventTypes[change.Type], Object: &record}) {
		return ctx.Err()
	}
	return nil
}

func (w *recordWatch) bookmark(ctx context.Context, annotations map[string]string) error {
	w.bookmarked = time.Now()
	if !w.bookmarks {
		return nil
	}
	mark := &v1alpha1.AccessRecord{ObjectMeta: metav1.ObjectMeta{ResourceVersion: formatVersion(w.version), Annotations: annotations}}
	if !w.tell(ctx, watch.Event{Type: watch.Bookmark, Object: mark}) {
		return ctx.Err()
	}
	return nil
}
