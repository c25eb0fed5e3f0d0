package liveness

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/go-logr/logr"
	"go.uber.org/goleak"
	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/internal/testenv"
)

const staleness = 10 * time.Second

// pair is a sidecar's Keeper and a manager's Reader, on a real API server, with one clock.
type pair struct {
	t         *testing.T
	env       *testenv.Env
	namespace string
	now       time.Time
	observed  string
	failing   time.Time
	resyncs   int
	resyncErr error
	api       client.Client
	keeper    *Keeper
	reader    *Reader
}

func newPair(t *testing.T) *pair {
	t.Helper()
	env := testenv.Shared(t)
	p := &pair{t: t, env: env, namespace: env.Namespace(t), now: time.Now(), observed: "100", api: env.Client}
	p.keeper = NewKeeper(KeeperOptions{
		Client: hooked{env.Client, p}, Namespace: p.namespace, Server: "asp1", Identity: "Pod_1.example", Log: logr.Discard(),
		Duration:     func() time.Duration { return staleness },
		Observed:     func() (string, time.Time) { return p.observed, p.now },
		FailingSince: func() time.Time { return p.failing },
		Resync:       func(context.Context) error { p.resyncs++; return p.resyncErr },
		Now:          func() time.Time { return p.now },
	})
	p.reader = p.newReader()
	return p
}

func (p *pair) newReader() *Reader { return &Reader{Client: p.env.Client, Clock: readerClock{p}} }

type readerClock struct{ p *pair }

func (c readerClock) Now() time.Time                  { return c.p.now }
func (c readerClock) Since(t time.Time) time.Duration { return c.p.now.Sub(t) }

// hooked is a client whose patches may take time.
type hooked struct {
	client.Client
	p *pair
}

var slow time.Duration

func (h hooked) Patch(ctx context.Context, obj client.Object, patch client.Patch, opts ...client.PatchOption) error {
	h.p.pass(slow)
	return h.Client.Patch(ctx, obj, patch, opts...)
}

func (p *pair) pass(d time.Duration) { p.now = p.now.Add(d) }

func (p *pair) begin() {
	p.t.Helper()
	if err := p.keeper.Claim(p.t.Context()); err != nil {
		p.t.Fatal(err)
	}
	p.keeper.Begin()
}

func (p *pair) renew() {
	p.t.Helper()
	if err := p.keeper.renew(p.t.Context()); err != nil {
		p.t.Fatal(err)
	}
}

func (p *pair) wantFresh(want bool) {
	p.t.Helper()
	if got := p.keeper.Fresh(); got != want {
		p.t.Errorf("fresh is %v, want %v", got, want)
	}
}

// wantPending says whether a reset whose clearing write had this resourceVersion still waits.
func (p *pair) wantPending(r *Reader, resourceVersion string, want bool) {
	p.t.Helper()
	pending, _, err := r.Pending(p.t.Context(), p.namespace, "asp1", resourceVersion)
	if err != nil {
		p.t.Fatal(err)
	}
	if got := len(pending) > 0; got != want {
		p.t.Errorf("a reset at %s waits for %d sidecars, want it to wait: %v", resourceVersion, len(pending), want)
	}
}

func (p *pair) lease() *coordinationv1.Lease {
	p.t.Helper()
	var list coordinationv1.LeaseList
	if err := p.env.Client.List(p.t.Context(), &list, client.InNamespace(p.namespace)); err != nil || len(list.Items) != 1 {
		p.t.Fatalf("%d leases, %v", len(list.Items), err)
	}
	return &list.Items[0]
}

func TestNobodyIsAdmittedBeforeTheUsersAreRead(t *testing.T) {
	p := newPair(t)
	p.wantFresh(false)
	if err := p.keeper.Claim(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.wantFresh(false)
	p.keeper.Begin()
	p.wantFresh(true)
}

func TestLapseNeedsUsersReadAnew(t *testing.T) {
	p := newPair(t)
	p.begin()
	p.pass(staleness - time.Millisecond)
	p.wantFresh(true)
	p.pass(time.Millisecond)
	p.wantFresh(false)
	p.resyncErr = errors.New("away")
	if err := p.keeper.renew(t.Context()); err == nil {
		t.Error("renewed without the users")
	}
	p.wantFresh(false)
	p.resyncErr = nil
	p.renew()
	p.wantFresh(true)
	if p.resyncs != 2 {
		t.Errorf("%d resyncs, want 2", p.resyncs)
	}
}

func TestLapseDuringARenewalCounts(t *testing.T) {
	p := newPair(t)
	p.begin()
	p.pass(staleness / 2)
	slow = staleness // the answer comes after the Lease ran out
	defer func() { slow = 0 }()
	_ = p.keeper.renew(t.Context())
	if p.resyncs != 1 {
		t.Errorf("%d resyncs after a renewal that took longer than the Lease, want 1", p.resyncs)
	}
}

// TestReadingMayTakeLongerThanTheLease: a sidecar with so many users that reading them outlasts its Lease
// starts all the same, and comes back after a lapse.
func TestReadingMayTakeLongerThanTheLease(t *testing.T) {
	env := testenv.Shared(t)
	const staleness, reading = time.Second, 2500 * time.Millisecond
	k := NewKeeper(KeeperOptions{
		Client: env.Client, Namespace: env.Namespace(t), Server: "asp1", Identity: "pod", Log: logr.Discard(),
		Duration: func() time.Duration { return staleness },
		Observed: func() (string, time.Time) { return "100", time.Now() },
		Resync: func(ctx context.Context) error {
			select {
			case <-time.After(reading):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		},
	})
	if err := k.Claim(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-time.After(reading) // the first list
	k.Begin()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { k.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	if k.Fresh() {
		t.Error("fresh although the Lease ran out during the first list")
	}
	testenv.Eventually(t, time.Minute, func() error {
		if !k.Fresh() {
			return errors.New("not fresh")
		}
		return nil
	})
}

// TestEitherClockCounts: the monotonic clock stops while a machine is suspended, and the wall clock can be
// set; the deadline passes on whichever says so first.
func TestEitherClockCounts(t *testing.T) {
	start := time.Now()
	d := deadline{start: start, hold: staleness}
	for name, tc := range map[string]struct {
		monotonic, wall time.Duration
		want            bool
	}{
		"neither":                {staleness - 1, staleness - 1, false},
		"both":                   {staleness, staleness, true},
		"suspended":              {time.Millisecond, staleness + time.Second, true},
		"wall clock set back":    {staleness, -time.Hour, true},
		"wall clock set forward": {time.Second, time.Hour, true},
		"set back, early":        {staleness - 1, -time.Hour, false},
	} {
		now := withWall(start.Add(tc.monotonic), tc.wall-tc.monotonic)
		if monotonic, wall := d.elapsed(now); monotonic != tc.monotonic || (wall-tc.wall).Abs() >= time.Second {
			t.Fatalf("%s: the test moved the clocks by %s and %s", name, monotonic, wall)
		}
		if got := d.passed(now); got != tc.want {
			t.Errorf("%s: passed is %t, want %t", name, got, tc.want)
		}
	}
}

// withWall moves the wall clock's reading in t, by whole seconds, and leaves the monotonic one, which no
// function of package time can do.
func withWall(t time.Time, by time.Duration) time.Time {
	reading := (*uint64)(unsafe.Pointer(&t)) // a bit, 33 bits of seconds, 30 bits of nanoseconds
	seconds := int64(by / time.Second)
	*reading = uint64(int64(*reading) + seconds<<30)
	return t
}

func TestWhatCannotBeReadIsNotKnown(t *testing.T) {
	p := newPair(t)
	p.begin()
	p.failing = p.now.Add(time.Second)
	p.pass(staleness / 2)
	p.renew()
	p.wantFresh(true)
	p.now = p.failing.Add(staleness)
	p.renew()
	p.wantFresh(false)
	p.failing = time.Time{}
	p.renew()
	p.wantFresh(true)
}

func TestDeletedLeaseLapsesAtOnce(t *testing.T) {
	p := newPair(t)
	p.begin()
	first := p.lease()
	if err := p.env.Client.Delete(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	if err := p.keeper.renew(t.Context()); err == nil {
		t.Error("renewed a Lease that is gone")
	}
	p.wantFresh(false)
	p.renew()
	p.wantFresh(true)
	if second := p.lease(); second.UID == first.UID || p.resyncs != 1 {
		t.Errorf("Lease %s was not made anew, or %d resyncs instead of 1", second.UID, p.resyncs)
	}
}

func TestStoppedSidecarHoldsNothingUp(t *testing.T) {
	p := newPair(t)
	p.begin()
	p.wantPending(p.reader, "101", true)
	p.keeper.GiveUp()
	p.wantFresh(false)
	p.wantPending(p.reader, "101", false)
}

// TestShorterStalenessBindsAtOnce: from when a shorter Lease may be stored, the longer one counts no more,
// although the answer is lost.
func TestShorterStalenessBindsAtOnce(t *testing.T) {
	p := newPair(t)
	p.begin()
	p.keeper.Duration = func() time.Duration { return staleness / 5 }
	p.keeper.Client = unanswered{p.keeper.Client}
	if err := p.keeper.renew(t.Context()); err == nil {
		t.Fatal("renewed")
	}
	p.wantFresh(true)
	p.pass(staleness / 5)
	p.wantFresh(false)
}

// unanswered stores, and says that it did not.
type unanswered struct{ client.Client }

func (u unanswered) Patch(ctx context.Context, obj client.Object, patch client.Patch, opts ...client.PatchOption) error {
	if err := u.Client.Patch(ctx, obj, patch, opts...); err != nil {
		return err
	}
	return errors.New("connection reset by peer")
}

// TestLostAnswerOfTheFirstWrite: a Lease that was made, though its answer was lost, is taken up.
func TestLostAnswerOfTheFirstWrite(t *testing.T) {
	p := newPair(t)
	p.keeper.Client = &createdUnanswered{Client: p.keeper.Client}
	p.begin()
	p.wantFresh(true)
	p.lease() // one
}

type createdUnanswered struct {
	client.Client
	lost bool
}

func (c *createdUnanswered) Create(ctx context.Context, obj client.Object, opts ...client.CreateOption) error {
	if err := c.Client.Create(ctx, obj, opts...); err != nil || c.lost {
		return err
	}
	c.lost = true
	return errors.New("connection reset by peer")
}

// TestRunKeepsTheLease: it is renewed in time, told at once what is urgent, given up in the end, and
// nothing runs on.
func TestRunKeepsTheLease(t *testing.T) {
	env := testenv.Shared(t)
	namespace := env.Namespace(t)
	before := goleak.IgnoreCurrent()
	var observed atomic.Int64
	observed.Store(100)
	k := NewKeeper(KeeperOptions{
		Client: env.Client, Namespace: namespace, Server: "asp1", Identity: "pod", Log: logr.Discard(),
		Duration: func() time.Duration { return time.Hour },
		Observed: func() (string, time.Time) { return strconv.FormatInt(observed.Load(), 10), time.Now() },
		Resync:   func(context.Context) error { return nil },
	})
	if err := k.Claim(t.Context()); err != nil {
		t.Fatal(err)
	}
	k.Begin()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { k.Run(ctx) })
	reader := &Reader{Client: env.Client, Clock: clock.RealClock{}}
	told := func(resourceVersion string) func() error {
		return func() error {
			pending, _, err := reader.Pending(t.Context(), namespace, "asp1", resourceVersion)
			if err == nil && len(pending) > 0 {
				err = fmt.Errorf("%s is not observed yet", resourceVersion)
			}
			return err
		}
	}
	testenv.Eventually(t, 5*time.Second, told("100"))
	observed.Store(200)
	k.Hurry() // otherwise it would take ten seconds
	testenv.Eventually(t, 5*time.Second, told("200"))
	cancel()
	wg.Wait()
	k.GiveUp()
	var left coordinationv1.LeaseList
	if err := env.Client.List(t.Context(), &left, client.InNamespace(namespace)); err != nil || len(left.Items) != 0 || k.Fresh() {
		t.Errorf("%d leases are left, %v, fresh %t", len(left.Items), err, k.Fresh())
	}
	goleak.VerifyNone(t, before)
}
