// Package failures is the only writer of what happened to a user: recentFailures, lastFailure,
// failureCount, lastLoginTime and the time a bound device was last seen.
//
// It writes in the background and gathers: the first failure after a quiet time is written within a
// fraction of a second, further ones ever more rarely while they keep coming, and counts stay exact. What
// it holds in memory is bounded by the number of users; names that nobody has do not come here.
package failures

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/time/rate"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/statuspatch"
)

const (
	// firstDelay is how long the first failure after a quiet time waits for others.
	firstDelay = 100 * time.Millisecond
	// minInterval and maxInterval bound the time between two writes of one user's failures. It doubles
	// with each write while failures keep coming.
	minInterval = 500 * time.Millisecond
	maxInterval = 5 * time.Second
	// loginDelay is how long a mere successful login may wait to be written.
	loginDelay = time.Minute
	// writesPerSecond bounds the writes of one sidecar, over all users.
	writesPerSecond = 50
	writeBurst      = 100
	workers         = 4
	writeTimeout    = 10 * time.Second
	// lockRetries is how often one write is repeated at once after somebody else's.
	lockRetries = 5
	// defaultLimit is how many failures are kept while the relay's policy is not known, as the API has it.
	defaultLimit = 10
)

// Client is what a Recorder needs.
type Client interface {
	client.Reader
	statuspatch.Writer
}

// Account identifies a user to write to.
type Account struct {
	Name, UID string
	// Failing says that the stored status shows a failure newer than the last login, so that a login is
	// news.
	Failing bool
	// LastLogin is what the stored status says.
	LastLogin time.Time
}

// Recorder gathers and writes.
type Recorder struct {
	client    Client
	namespace string
	log       logr.Logger
	metrics   *Metrics
	limiter   *rate.Limiter
	queue     workqueue.TypedDelayingInterface[string] // of UIDs

	mu    sync.Mutex
	users map[string]*user
}

// user is one user's unwritten batch and the pace of its writes.
type user struct {
	name  string
	batch batch
	// inDoubt is a batch whose write was not answered. It is settled by itself, before anything newer:
	// only as it was sent can it be recognised in what is stored.
	inDoubt  *batch
	due      time.Time // when the queue will hand it out
	interval time.Duration
	writing  bool
}

// NewRecorder makes a Recorder for the users of one namespace.
func NewRecorder(c Client, namespace string, metrics *Metrics, log logr.Logger) *Recorder {
	return &Recorder{
		client: c, namespace: namespace, metrics: metrics, log: log,
		limiter: rate.NewLimiter(writesPerSecond, writeBurst),
		queue:   workqueue.NewTypedDelayingQueue[string](),
		users:   map[string]*user{},
	}
}

// Failure records a refused login. f.Count is one; limit is how many distinct ones the status keeps, zero
// when that is not known. It does not block.
func (r *Recorder) Failure(a Account, f v1alpha1.LoginFailure, limit int) {
	if limit < 1 {
		limit = defaultLimit
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	u := r.user(a)
	u.batch.addFailure(f, limit)
	r.schedule(a.UID, u, firstDelay)
}

// Login records an admitted login. It does not block.
func (r *Recorder) Login(a Account, slot v1alpha1.Slot, bindingID string, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	u := r.users[a.UID]
	news := a.Failing || a.LastLogin.IsZero() || (u != nil && u.batch.count > 0)
	if !news && at.Sub(a.LastLogin) < loginDelay {
		return
	}
	u = r.user(a)
	u.batch.addLogin(slot, bindingID, at)
	if news {
		r.schedule(a.UID, u, firstDelay)
		return
	}
	r.schedule(a.UID, u, loginDelay)
}

// user needs r.mu.
func (r *Recorder) user(a Account) *user {
	u := r.users[a.UID]
	if u == nil {
		u = &user{name: a.Name}
		r.users[a.UID] = u
		r.metrics.pending.Set(float64(len(r.users)))
	}
	return u
}

// schedule needs r.mu. A user that is being written, or is due sooner, is left as it is.
func (r *Recorder) schedule(uid string, u *user, delay time.Duration) {
	due := time.Now().Add(delay)
	if u.writing || (!u.due.IsZero() && !due.Before(u.due)) {
		return
	}
	if u.interval > 0 {
		return // it was written lately and is queued for its next turn
	}
	u.due = due
	r.queue.AddAfter(uid, delay)
}

// Run writes until ctx ends, and then whatever is left, for at most a short time.
func (r *Recorder) Run(ctx context.Context) {
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() { r.work(ctx) })
	}
	<-ctx.Done()
	r.queue.ShutDown()
	wg.Wait()
	r.drain()
}

func (r *Recorder) work(ctx context.Context) {
	for {
		uid, stopped := r.queue.Get()
		if stopped {
			return
		}
		if ctx.Err() == nil {
			r.turn(ctx, uid)
		}
		r.queue.Done(uid)
	}
}

// turn writes one user's batch and sets the time of its next turn.
func (r *Recorder) turn(ctx context.Context, uid string) {
	name, b, ok := r.takeBatch(uid)
	if !ok {
		return
	}
	if r.limiter.Wait(ctx) != nil {
		r.putBack(uid, b)
		return
	}
	err := r.write(ctx, uid, name, b)
	if err != nil {
		r.putBack(uid, b)
		r.log.Info("Failures could not be written, trying again", "user", name, "error", err.Error())
	}
	r.next(uid)
}

// takeBatch hands out what is to be written; a user that had its turn and has nothing new is forgotten.
func (r *Recorder) takeBatch(uid string) (string, *batch, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	u := r.users[uid]
	if u == nil || u.writing {
		return "", nil, false
	}
	taken := u.take()
	if taken == nil {
		delete(r.users, uid)
		r.metrics.pending.Set(float64(len(r.users)))
		return "", nil, false
	}
	u.writing = true
	u.due = time.Time{}
	return u.name, taken, true
}

// take hands out the batch to write next, nil when there is none.
func (u *user) take() *batch {
	if taken := u.inDoubt; taken != nil {
		u.inDoubt = nil
		return taken
	}
	if u.batch.empty() {
		return nil
	}
	taken := u.batch
	u.batch = batch{}
	return &taken
}

func (r *Recorder) putBack(uid string, b *batch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	u := r.users[uid]
	switch {
	case u == nil:
	case b.unsure:
		u.inDoubt = b
	default:
		u.batch.add(b)
	}
}

func (r *Recorder) next(uid string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	u := r.users[uid]
	if u == nil {
		return
	}
	u.writing = false
	u.interval = min(max(2*u.interval, minInterval), maxInterval)
	u.due = time.Now().Add(u.interval)
	r.queue.AddAfter(uid, u.interval)
}

// write stores a batch once. An answer that was lost leaves open whether it was stored; the next try
// looks for it in what is stored before it adds it again.
func (r *Recorder) write(ctx context.Context, uid, name string, b *batch) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	for try := 0; ; try++ {
		done, err := r.tryWrite(ctx, uid, name, b)
		if done {
			return nil
		}
		if !apierrors.IsConflict(err) || try == lockRetries {
			b.unsure = b.unsure || !definite(err)
			return err
		}
	}
}

func (r *Recorder) tryWrite(ctx context.Context, uid, name string, b *batch) (done bool, err error) {
	var u v1alpha1.RelayUser
	err = r.client.Get(ctx, client.ObjectKey{Namespace: r.namespace, Name: name}, &u)
	if apierrors.IsNotFound(err) || (err == nil && string(u.UID) != uid) {
		return true, nil // the user is gone, and its failures with it
	}
	if err != nil {
		return false, err
	}
	if b.unsure && b.landed(&u.Status) {
		return true, nil
	}
	_, err = statuspatch.Apply(ctx, r.client, &u, func(u *v1alpha1.RelayUser) { b.apply(&u.Status) })
	if err != nil {
		return false, err
	}
	r.metrics.writes.Inc()
	return true, nil
}

// definite says that the API server refused the write, so that nothing was stored. What it answers from
// 500 up, and what a proxy before it does, leaves that open.
func definite(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return false
	}
	code := status.Status().Code
	return code >= http.StatusBadRequest && code < http.StatusInternalServerError && code != http.StatusRequestTimeout
}

// drain writes what is left when the sidecar stops.
func (r *Recorder) drain() {
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	defer cancel()
	r.mu.Lock()
	left := r.users
	r.users = map[string]*user{}
	r.mu.Unlock()
	lost := 0
	for uid, u := range left {
		for b := u.take(); b != nil; b = u.take() {
			if err := r.write(ctx, uid, u.name, b); err != nil {
				lost++
			}
		}
	}
	if lost > 0 {
		r.log.Info("Failures could not be written before stopping", "batches", lost)
	}
}
