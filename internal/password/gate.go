package password

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// ErrBusy says that all slots are taken and the queue for them is full.
var ErrBusy = errors.New("too many password checks at once")

// Priority says which queue an attempt waits in.
type Priority uint8

const (
	// Ordinary attempts share the slots that no preferred attempt waits for.
	Ordinary Priority = iota
	// Preferred attempts come from devices that are already bound. They take three slots of four ahead of
	// ordinary ones and have a queue of their own, so that strangers cannot keep them out.
	Preferred

	priorities = 2
)

// String returns the priority as metrics name it.
func (p Priority) String() string {
	if p == Preferred {
		return "preferred"
	}
	return "ordinary"
}

// gate lets a fixed number of attempts through at a time and keeps the others in bounded queues.
type gate struct {
	metrics *Metrics
	limits  [priorities]int

	mu     sync.Mutex
	free   int                // above zero only while nobody waits
	queues [priorities][]turn // the longest waiting first
	// preferred is how many preferred attempts in a row went ahead of an ordinary one that waits.
	preferred int
}

// turn is closed when a slot is handed to the one who waits for it.
type turn chan struct{}

func newGate(slots int, limits [priorities]int, m *Metrics) *gate {
	return &gate{metrics: m, limits: limits, free: slots}
}

// acquire returns nil when the caller has a slot, which it must release, ErrBusy at once when the queue is
// full, and the context's error when that ends the wait.
func (g *gate) acquire(ctx context.Context, p Priority) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("wait for a hash slot: %w", err)
	}
	if p != Preferred {
		p = Ordinary
	}
	mine, err := g.enqueue(p)
	if mine == nil {
		return err
	}
	g.metrics.waits(p, +1)
	defer g.metrics.waits(p, -1)
	select {
	case <-mine:
		return nil
	case <-ctx.Done():
		g.leave(p, mine)
		g.metrics.refuse(p)
		return fmt.Errorf("wait for a hash slot: %w", ctx.Err())
	}
}

// enqueue takes a slot (nil, nil), finds the queue full (nil, ErrBusy), or joins it.
func (g *gate) enqueue(p Priority) (turn, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.free > 0 {
		g.free--
		return nil, nil
	}
	if len(g.queues[p]) >= g.limits[p] {
		g.metrics.refuse(p)
		return nil, ErrBusy
	}
	mine := make(turn)
	g.queues[p] = append(g.queues[p], mine)
	return mine, nil
}

// leave gives up waiting. The slot may have been handed over in the same moment; then it goes on to the
// next, or it would be lost.
func (g *gate) leave(p Priority, mine turn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-mine:
		g.next()
	default:
		i := slices.Index(g.queues[p], mine)
		g.queues[p] = slices.Delete(g.queues[p], i, i+1)
	}
}

func (g *gate) release() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.next()
}

// preferredInARow is how many preferred attempts go ahead of an ordinary one that waits. Without it people
// with bound devices, who know their passwords, could keep everybody else out.
const preferredInARow = 3

// next hands a slot to the one who has waited longest, the preferred first. The lock is held.
func (g *gate) next() {
	order := [...]Priority{Preferred, Ordinary}
	if g.preferred == preferredInARow {
		order = [...]Priority{Ordinary, Preferred}
	}
	for _, p := range order {
		q := g.queues[p]
		if len(q) == 0 {
			continue
		}
		close(q[0])
		g.queues[p] = slices.Delete(q, 0, 1)
		g.preferred++
		if p == Ordinary || len(g.queues[Ordinary]) == 0 {
			g.preferred = 0
		}
		return
	}
	g.free++
}
