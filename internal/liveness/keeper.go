package liveness

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// renewTimeout bounds one write of the Lease.
	renewTimeout = 5 * time.Second
	// maxRenewInterval and renewsPerLease set how often the Lease is renewed.
	maxRenewInterval = 10 * time.Second
	renewsPerLease   = 4
	// publishDelay gathers slot changes that come together into one write of the Lease.
	publishDelay = 200 * time.Millisecond
	retryDelay   = 500 * time.Millisecond
	resyncLimit  = 2 * time.Minute
	// minSilence is how long the watch of users may be silent before it is not trusted any more. The API
	// server confirms an idle watch about once a minute.
	minSilence = 3 * time.Minute
	// refusalInterval is how often it is logged that the API server refuses the Lease.
	refusalInterval = time.Minute
)

// What to do when the API server refuses the Lease: trying again does not mend it.
const (
	adviceUnauthorized = "Was the RelayServer re-created? Then its ServiceAccount is another one: restart the sidecar with a new token"
	adviceForbidden    = "Is there such a RelayServer? Check --server and --namespace, and that the pod bears the label tegata.dev/relay-server or runs as the ServiceAccount <server>-sidecar"
)

// KeeperOptions are what a Keeper needs.
type KeeperOptions struct {
	Client    client.Client
	Namespace string
	Server    string
	// Identity names the sidecar, usually its pod.
	Identity string
	// Duration is how long the sidecar may go on without renewing: the relay's maxStaleness.
	Duration func() time.Duration
	// Observed is the newest resourceVersion of RelayUsers that logins are decided on, and when the API
	// server last confirmed it.
	Observed func() (resourceVersion string, at time.Time)
	// FailingSince is since when users, credentials, keys or policy could not be read; zero while all can.
	// Nil: always.
	FailingSince func() time.Time
	// Annotations are what else the Lease tells; nil for nothing. It must not block.
	Annotations func() map[string]string
	// Resync reads all users anew.
	Resync func(context.Context) error
	Log    logr.Logger
	// Now is the clock; time.Now when nil.
	Now func() time.Time
}

// Keeper renews a sidecar's Lease and knows whether it holds.
type Keeper struct {
	KeeperOptions
	lease   *coordinationv1.Lease
	exists  bool
	claimed time.Time
	// stored is until when the manager counts on the Lease as it is stored, at least. This may be longer than
	// anybody is admitted: after a lapse a renewal comes first, and then the users are read. unbroken says
	// that the latest renewal came before the one before it had run out.
	stored   deadline
	unbroken bool

	urgent chan struct{}
	// refused is when it was last logged that the API server refuses the Lease.
	refused time.Time

	mu    sync.RWMutex
	until deadline
}

// deadline is a point of time on two clocks, because each can stand still or jump: the monotonic clock
// stops while a machine is suspended, the wall clock can be set.
type deadline struct {
	start time.Time
	hold  time.Duration
}

// elapsed is the time since start on either clock.
func (d deadline) elapsed(now time.Time) (monotonic, wall time.Duration) {
	return now.Sub(d.start), now.Round(0).Sub(d.start.Round(0))
}

func (d deadline) passed(now time.Time) bool { return max(d.elapsed(now)) >= d.hold }

// limited is the deadline, or a time after now when that is earlier.
func (d deadline) limited(now time.Time, hold time.Duration) deadline {
	if !d.passed(now) {
		d.hold = min(d.hold, min(d.elapsed(now))+hold)
	}
	return d
}

// NewKeeper makes a Keeper with a Lease of its own.
func NewKeeper(o KeeperOptions) *Keeper {
	if o.Now == nil {
		o.Now = time.Now
	}
	process := strings.ToLower(rand.Text()[:8])
	return &Keeper{
		KeeperOptions: o,
		lease:         newLease(o.Namespace, o.Server, o.Identity, process),
		urgent:        make(chan struct{}, 1),
	}
}

// Fresh says whether the Lease holds: whether, as far as the manager may rely on, what this sidecar
// decides on is current.
func (k *Keeper) Fresh() bool {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return !k.until.passed(k.Now())
}

// Hurry asks for the Lease to be written soon, because the manager may be waiting to hear what has been
// observed. It does not block.
func (k *Keeper) Hurry() {
	select {
	case k.urgent <- struct{}{}:
	default:
	}
}

// Claim makes the Lease. It must have succeeded before the users are first read: the manager counts on
// a sidecar whose Lease it does not see to read them later.
func (k *Keeper) Claim(ctx context.Context) error {
	for {
		k.claimed = k.Now()
		err := k.write(ctx, k.claimed)
		if err == nil {
			return nil
		}
		k.report(err, "Lease could not be made, trying again")
		if !sleep(ctx, retryDelay) {
			return fmt.Errorf("make lease: %w", context.Cause(ctx))
		}
	}
}

// Begin says that the users have been read since Claim: from here on the sidecar may admit people.
func (k *Keeper) Begin() { k.hold(k.claimed) }

// Run renews the Lease until ctx ends.
func (k *Keeper) Run(ctx context.Context) {
	for ctx.Err() == nil {
		wait := k.interval()
		if err := k.renew(ctx); err != nil && ctx.Err() == nil {
			k.report(err, "Lease could not be renewed, trying again", "fresh", k.Fresh())
		}
		if !k.Fresh() {
			wait = min(wait, retryDelay)
		}
		k.wait(ctx, wait)
	}
}

// report logs a failure. One that only a person can mend is an error with what to do, so that it stands out;
// as it comes back with each attempt, it is logged at once and then once a minute.
func (k *Keeper) report(err error, message string, fields ...any) {
	var advice string
	switch {
	case apierrors.IsUnauthorized(err):
		advice = adviceUnauthorized
	case apierrors.IsForbidden(err):
		advice = adviceForbidden
	default:
		k.Log.Info(message, append(fields, "error", err.Error())...)
		return
	}
	now := k.Now()
	if !k.refused.IsZero() && now.Sub(k.refused) < refusalInterval {
		return
	}
	k.refused = now
	k.Log.Error(err, message, append(fields, "advice", advice)...)
}

// renew writes the Lease. After a lapse the manager may have declared resets Complete without this
// sidecar, so the users are read anew before anybody is admitted again.
func (k *Keeper) renew(ctx context.Context) error {
	lapsed := !k.Fresh() || k.silent()
	sent := k.Now()
	if err := k.write(ctx, sent); err != nil {
		return err
	}
	// It may have run out while its renewal was under way.
	if lapsed || !k.Fresh() {
		var err error
		if sent, err = k.readAnew(ctx, sent); err != nil {
			return err
		}
		k.Log.Info("Users were read anew; the Lease holds")
		k.Hurry()
	}
	k.hold(k.knownUntil(sent))
	return nil
}

var errRanOut = errors.New("lease ran out while the users were read anew")

// readAnew reads the users anew and meanwhile goes on renewing the Lease, as reading many may take longer
// than it holds. The manager waits for this sidecar from the renewal before the list on, as long as no
// renewal comes too late. It returns when the last one was sent.
func (k *Keeper) readAnew(ctx context.Context, sent time.Time) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, resyncLimit)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- k.Resync(ctx) }()
	k.unbroken = true
	ticker := time.NewTicker(max(k.interval(), time.Millisecond))
	defer ticker.Stop()
	for {
		select {
		case err := <-done:
			return sent, err
		case <-ticker.C:
			next := k.Now()
			if err := k.write(ctx, next); err == nil {
				sent = next
			}
			if !k.unbroken || k.stored.passed(k.Now()) {
				cancel()
				return sent, errors.Join(errRanOut, <-done)
			}
		}
	}
}

// knownUntil is the time up to which what logins are decided on is known: that of a renewal, or earlier when
// something of it could not be read since.
func (k *Keeper) knownUntil(sent time.Time) time.Time {
	if k.FailingSince == nil {
		return sent
	}
	if since := k.FailingSince(); !since.IsZero() && since.Before(sent) {
		return since
	}
	return sent
}

// silent says that the watch of users has told nothing for so long that it may be dead although the Lease
// can be written.
func (k *Keeper) silent() bool {
	_, at := k.Observed()
	return k.Now().Sub(at) > max(k.Duration(), minSilence)
}

// hold extends the deadline by what the stored Lease promises, counted from before it was sent or earlier.
func (k *Keeper) hold(sent time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.until = deadline{start: sent, hold: min(k.Duration(), k.stored.hold)}
}

// limit shortens both deadlines to what a Lease promises that is about to be written: it may be stored, and
// its answer be lost, or this process be frozen before it comes.
func (k *Keeper) limit(at time.Time, promised time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.until = k.until.limited(at, promised)
	k.stored = k.stored.limited(at, promised)
}

// write stores the Lease as of a time. It is a patch without a lock: only this process writes this Lease,
// and one whose answer was lost may be repeated. When the Lease is gone, somebody has taken this sidecar
// for dead: it lapses at once and is made anew.
func (k *Keeper) write(ctx context.Context, at time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, renewTimeout)
	defer cancel()
	next := k.lease.DeepCopy()
	k.fill(next, at)
	k.limit(at, duration(next))
	var err error
	if k.exists {
		err = k.Client.Patch(ctx, next, client.MergeFrom(k.unwritten()))
	} else {
		err = k.Client.Create(ctx, next)
	}
	switch {
	case err == nil:
		k.unbroken = !k.stored.passed(k.Now())
		k.stored = deadline{start: at, hold: duration(next)}
		k.lease.Spec, k.lease.Annotations, k.exists = next.Spec, next.Annotations, true
		return nil
	case apierrors.IsNotFound(err):
		k.lapse()
		k.exists = false
	case apierrors.IsAlreadyExists(err):
		k.exists = true // by an earlier request of this process, whose answer was lost
	}
	return fmt.Errorf("write lease %s: %w", next.Name, err)
}

// unwritten is the Lease as if nothing of it were stored, so that a patch against it states all of it.
func (k *Keeper) unwritten() *coordinationv1.Lease {
	return &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: k.lease.Namespace, Name: k.lease.Name}}
}

func (k *Keeper) fill(l *coordinationv1.Lease, at time.Time) {
	seconds := int32(math.Ceil(k.Duration().Seconds()))
	renewed := metav1.NewMicroTime(at)
	l.Spec.LeaseDurationSeconds = &seconds
	l.Spec.RenewTime = &renewed
	if l.Spec.AcquireTime == nil {
		l.Spec.AcquireTime = &renewed
	}
	if observed, _ := k.Observed(); observed != "" {
		metav1.SetMetaDataAnnotation(&l.ObjectMeta, AnnotationObserved, observed)
	}
	if k.Annotations != nil {
		for name, value := range k.Annotations() {
			metav1.SetMetaDataAnnotation(&l.ObjectMeta, name, value)
		}
	}
}

func (k *Keeper) lapse() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.until, k.stored = deadline{}, deadline{}
}

func (k *Keeper) interval() time.Duration {
	return min(k.Duration()/renewsPerLease, maxRenewInterval)
}

func (k *Keeper) wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	case <-k.urgent:
		sleep(ctx, publishDelay)
	}
}

// GiveUp deletes the Lease, so that no reset waits for a sidecar that has stopped in order. Run must have
// returned.
func (k *Keeper) GiveUp() {
	k.lapse()
	if !k.exists {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), renewTimeout)
	defer cancel()
	if err := k.Client.Delete(ctx, k.lease); client.IgnoreNotFound(err) != nil {
		k.Log.Info("Lease could not be given up; it will run out", "error", err.Error())
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
