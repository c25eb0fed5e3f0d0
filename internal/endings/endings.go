// Package endings tells the other sidecars of sessions that were ended before their time. It is the only
// writer of a RelayUser's status.endedSessions.
//
// It writes what it is told soon, together for each user, and again until it is stored. It must not decide
// which sessions end.
package endings

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/session"
	"github.com/tegata-dev/tegata/internal/statuspatch"
)

const (
	// workers is how many users are written at a time.
	workers = 4
	// spacing is how long an end waits for others of its user: who logs in and out without end costs no more
	// than a write in that time.
	spacing  = 200 * time.Millisecond
	maxRetry = 10 * time.Second
	// writeTimeout bounds one try.
	writeTimeout = 5 * time.Second
	// maxUnknown is how long the name of a user is waited for. Whoever has a session was known to a sidecar when it
	// began, and any other that is not behind by more than this knows the user, too.
	maxUnknown = 5 * time.Minute
)

var errUnknown = errors.New("no user of this UID is known")

// Client reads from the API server, not from a cache, and writes.
type Client interface {
	client.Reader
	statuspatch.Writer
}

// Writer writes endings.
type Writer struct {
	client    Client
	namespace string
	log       logr.Logger
	nameOf    func(uid string) string
	queue     workqueue.TypedRateLimitingInterface[string] // of UIDs

	mu      sync.Mutex
	pending map[string]*pending // by UID
}

type pending struct {
	name  string // empty while it is not known
	since time.Time
	ended session.Ended
}

// New makes a Writer, which writes once it runs. The name of a user that ends are told of without one is asked for
// by nameOf, until it is known.
func New(c Client, namespace string, nameOf func(uid string) string, log logr.Logger) *Writer {
	limiter := workqueue.NewTypedItemExponentialFailureRateLimiter[string](spacing, maxRetry)
	return &Writer{
		client: c, namespace: namespace, nameOf: nameOf, log: log, pending: map[string]*pending{},
		queue: workqueue.NewTypedRateLimitingQueue[string](limiter),
	}
}

// End tells of the end of a session of a user, whose name is empty when it is not known. It does not block.
func (w *Writer) End(name, uid, sessionID string) {
	w.mu.Lock()
	p := w.pending[uid]
	if p == nil {
		p = &pending{since: time.Now()}
		w.pending[uid] = p
	}
	p.name = cmp.Or(p.name, name)
	p.ended.Add(time.Now(), v1alpha1.MaxEndedSessions, sessionID)
	w.mu.Unlock()
	w.queue.AddAfter(uid, spacing)
}

// Run writes until ctx ends, and then tries once to write what is left.
func (w *Writer) Run(ctx context.Context) {
	stop := context.AfterFunc(ctx, w.queue.ShutDown)
	defer stop()
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for w.next(ctx) {
			}
		})
	}
	wg.Wait()
	w.flush(context.WithoutCancel(ctx))
}

// flush writes all that is pending. What cannot be written is lost to the other sidecars, which is logged.
func (w *Writer) flush(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	for uid, p := range w.pending { // nobody else is left
		if err := w.store(ctx, uid, p); err != nil {
			w.log.Error(err, "Ended sessions are not known to the other sidecars", "user", p.name, "userUID", uid)
		}
	}
	clear(w.pending)
}

func (w *Writer) next(ctx context.Context) bool {
	uid, shutdown := w.queue.Get()
	if shutdown {
		return false
	}
	defer w.queue.Done(uid)
	p := w.take(uid)
	if p == nil {
		w.queue.Forget(uid)
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	switch err := w.store(ctx, uid, p); {
	case errors.Is(err, errUnknown) && time.Since(p.since) < maxUnknown:
		w.tryAgain(uid, p)
		return true
	case errors.Is(err, errUnknown):
		w.log.Info("Ended sessions are not stored: their user is gone", "userUID", uid)
	case err != nil:
		w.log.Info("Ended sessions could not be stored, trying again", "user", p.name, "error", err.Error())
		w.tryAgain(uid, p)
		return true
	}
	w.queue.Forget(uid)
	return true
}

func (w *Writer) take(uid string) *pending {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.pending[uid]
	delete(w.pending, uid)
	return p
}

// tryAgain keeps what could not be written, with what has come since.
func (w *Writer) tryAgain(uid string, p *pending) {
	defer w.queue.AddRateLimited(uid)
	w.mu.Lock()
	defer w.mu.Unlock()
	if since := w.pending[uid]; since != nil {
		p.ended.Add(time.Now(), v1alpha1.MaxEndedSessions, since.ended.IDs...)
		p.ended.UpTo = max(p.ended.UpTo, since.ended.UpTo)
		p.name = cmp.Or(p.name, since.name)
	}
	w.pending[uid] = p
}

func (w *Writer) store(ctx context.Context, uid string, p *pending) error {
	if p.name == "" {
		p.name = w.nameOf(uid)
	}
	if p.name == "" {
		return errUnknown
	}
	for {
		user := &v1alpha1.RelayUser{}
		err := w.client.Get(ctx, client.ObjectKey{Namespace: w.namespace, Name: p.name}, user)
		if apierrors.IsNotFound(err) || (err == nil && string(user.UID) != uid) {
			return nil // and its sessions with it
		}
		if err != nil {
			return fmt.Errorf("get user %s: %w", p.name, err)
		}
		_, err = statuspatch.Apply(ctx, w.client, user, func(u *v1alpha1.RelayUser) { p.apply(&u.Status) })
		if !apierrors.IsConflict(err) {
			return client.IgnoreNotFound(err)
		}
	}
}

// apply adds what is pending to what is stored.
func (p *pending) apply(status *v1alpha1.RelayUserStatus) {
	ended := session.Ended{IDs: status.EndedSessions.IDs, UpTo: max(status.EndedSessions.UpTo, p.ended.UpTo)}
	ended.Add(time.Now(), v1alpha1.MaxEndedSessions, p.ended.IDs...)
	status.EndedSessions = v1alpha1.EndedSessions{IDs: ended.IDs, UpTo: ended.UpTo}
}
