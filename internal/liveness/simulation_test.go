package liveness

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/go-logr/logr"
	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// simulation is a pod's processes, one manager and one API server, with one clock that only steps move.
type simulation struct {
	*rand.Rand
	store    *leaseStore
	now      time.Time
	duration time.Duration
	written  int // the newest resourceVersion of users

	// sidecars are the processes of one pod, each the successor of the one before. Only the last one runs;
	// the others are dead, or frozen: at any moment they may answer one more login.
	sidecars []*sidecar

	reader   *Reader
	pending  []int // resets whose clearing write had that resourceVersion
	complete int   // the newest of those that were found to be observed by all
}

// sidecar is one process: how far it has seen, and its Lease.
type sidecar struct {
	view   int
	viewed time.Time
	keeper *Keeper
	begun  bool
}

func newSimulation(seed uint64) *simulation {
	s := &simulation{
		Rand: rand.New(rand.NewPCG(seed, 0)), now: time.Unix(1_000_000, 0), duration: 20 * time.Second, written: 100,
	}
	s.store = &leaseStore{simulation: s}
	s.restartManager()
	s.restartSidecar()
	return s
}

func (s *simulation) Now() time.Time                  { return s.now }
func (s *simulation) Since(t time.Time) time.Duration { return s.now.Sub(t) }

// pass lets some time go by, mostly little.
func (s *simulation) pass() {
	limit := s.duration / 20
	if s.IntN(8) == 0 {
		limit = s.duration
	}
	s.now = s.now.Add(time.Duration(s.Int64N(int64(limit))))
}

func (s *simulation) restartManager() { s.reader = &Reader{Client: s.store, Clock: s} }

// restartSidecar is a new process of the same pod.
func (s *simulation) restartSidecar() {
	p := &sidecar{}
	p.keeper = NewKeeper(KeeperOptions{
		Client: s.store, Server: "asp1", Identity: "pod", Log: logr.Discard(), Now: s.Now,
		Duration: func() time.Duration { return s.duration },
		Observed: func() (string, time.Time) { return strconv.Itoa(p.view), p.viewed },
		Resync: func(context.Context) error {
			if s.IntN(4) == 0 {
				s.pass()
				return errors.New("the list broke off")
			}
			s.readUsers(p)
			return nil
		},
	})
	s.sidecars = append(s.sidecars, p)
}

// running is the newest process.
func (s *simulation) running() *sidecar { return s.sidecars[len(s.sidecars)-1] }

// readUsers reads them all, which takes time, in which somebody may write.
func (s *simulation) readUsers(p *sidecar) {
	s.pass()
	view := s.written
	s.maybeReset()
	s.pass()
	p.view, p.viewed = view, s.now
}

func (s *simulation) maybeReset() {
	if s.IntN(3) == 0 {
		s.written++
		s.pending = append(s.pending, s.written)
	}
}

// step is one thing that may happen.
func (s *simulation) step(ctx context.Context) {
	switch s.IntN(12) {
	case 0, 1:
		s.pass()
	case 2:
		s.maybeReset()
	case 3, 4: // the watch tells some, or all, of what was written
		if p := s.running(); p.begun && p.view < s.written {
			p.view, p.viewed = p.view+1+s.IntN(s.written-p.view), s.now
		}
	case 5, 6, 7:
		s.sidecarTurn(ctx)
	case 8, 9:
		s.managerTurn(ctx)
	case 10: // the manager hears of a Lease by its own watch
		if l := s.store.any(); l != nil {
			s.reader.Note(l)
		}
	case 11:
		switch s.IntN(6) {
		case 0:
			s.restartManager()
		case 1:
			s.restartSidecar()
		case 2:
			s.changeDuration()
		}
	}
}

func (s *simulation) changeDuration() { s.duration = time.Duration(5+s.IntN(40)) * time.Second }

func (s *simulation) sidecarTurn(ctx context.Context) {
	p := s.running()
	if p.begun {
		_ = p.keeper.renew(ctx)
		return
	}
	claim, cancel := context.WithCancel(ctx)
	cancel() // one try: it is repeated by later turns
	if p.keeper.Claim(claim) != nil {
		return
	}
	s.readUsers(p)
	p.keeper.Begin()
	p.begun = true
}

func (s *simulation) managerTurn(ctx context.Context) {
	s.pending = slices.DeleteFunc(s.pending, func(reset int) bool {
		waiting, _, err := s.reader.Pending(ctx, "", "asp1", strconv.Itoa(reset))
		done := err == nil && len(waiting) == 0
		if done {
			s.complete = max(s.complete, reset)
		}
		return done
	})
}

// holds is the promise: no process admits anybody by what it saw before a reset that is complete.
func (s *simulation) holds() error {
	for i, p := range s.sidecars {
		if p.keeper.Fresh() && p.view < s.complete {
			return fmt.Errorf("the reset at %d is complete, and process %d of %d admits people by what it saw at %d",
				s.complete, i+1, len(s.sidecars), p.view)
		}
	}
	return nil
}

// TestCompleteMeansEnforced runs both sides of the Leases through many histories: writes that are lost, or
// whose answer is, time that passes anywhere, processes that freeze, restarts, changes of the duration.
func TestCompleteMeansEnforced(t *testing.T) {
	const histories, steps = 1000, 150
	admitted, completed := 0, 0
	for seed := range uint64(histories) {
		s := newSimulation(seed)
		for n := range steps {
			s.step(t.Context())
			if err := s.holds(); err != nil {
				t.Fatalf("history %d, step %d: %v", seed, n, err)
			}
			if s.running().keeper.Fresh() {
				admitted++
			}
		}
		completed += s.complete
	}
	t.Logf("people were admitted after %d of %d steps", admitted, histories*steps)
	if admitted < histories*steps/4 || completed == 0 {
		t.Error("the histories show nothing: hardly anybody was admitted, or no reset completed")
	}
}

// leaseStore is the API server as far as Leases go. A write may be lost on its way, or its answer be.
type leaseStore struct {
	client.Client
	*simulation
	leases          []coordinationv1.Lease
	resourceVersion int
}

var errUnanswered = errors.New("no answer")

// send lets time pass before and after a write, which is stored or not.
func (s *leaseStore) send(write func() error) error {
	s.pass()
	s.managerTurn(context.Background()) // it may look at any moment
	if s.IntN(10) == 0 {
		s.changeDuration()
	}
	if s.IntN(6) == 0 {
		return errUnanswered
	}
	if err := write(); err != nil {
		return err
	}
	s.managerTurn(context.Background())
	s.pass()
	if s.IntN(6) == 0 {
		return errUnanswered
	}
	return nil
}

func (s *leaseStore) put(l *coordinationv1.Lease) {
	s.resourceVersion++
	l.ResourceVersion = strconv.Itoa(s.resourceVersion)
}

func (s *leaseStore) find(name string) int {
	return slices.IndexFunc(s.leases, func(l coordinationv1.Lease) bool { return l.Name == name })
}

func (s *leaseStore) any() *coordinationv1.Lease {
	if len(s.leases) == 0 {
		return nil
	}
	return s.leases[s.IntN(len(s.leases))].DeepCopy()
}

func (s *leaseStore) Create(_ context.Context, obj client.Object, _ ...client.CreateOption) error {
	return s.send(func() error {
		lease, _ := obj.(*coordinationv1.Lease)
		if s.find(lease.Name) >= 0 {
			return apierrors.NewAlreadyExists(coordinationv1.Resource("leases"), lease.Name)
		}
		stored := lease.DeepCopy()
		stored.UID = types.UID(stored.Name)
		s.put(stored)
		s.leases = append(s.leases, *stored)
		return nil
	})
}

// Patch replaces: a Keeper's patch states all of its Lease.
func (s *leaseStore) Patch(_ context.Context, obj client.Object, _ client.Patch, _ ...client.PatchOption) error {
	return s.send(func() error {
		lease, _ := obj.(*coordinationv1.Lease)
		i := s.find(lease.Name)
		if i < 0 {
			return apierrors.NewNotFound(coordinationv1.Resource("leases"), lease.Name)
		}
		stored := lease.DeepCopy()
		stored.UID = s.leases[i].UID
		s.put(stored)
		s.leases[i] = *stored
		return nil
	})
}

func (s *leaseStore) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	if s.IntN(10) == 0 {
		return errUnanswered
	}
	leases, _ := list.(*coordinationv1.LeaseList)
	for i := range s.leases {
		leases.Items = append(leases.Items, *s.leases[i].DeepCopy())
	}
	return nil
}
