package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/tegata-dev/tegata/internal/password"
)

const (
	floodClients = 1000
	// floodSlots is more than the default on small machines, so that a tenth of what hashing takes is more than
	// the steps in which Go's heap grows.
	floodSlots = 4
	// floodTime is long enough for many collections of garbage: what the collector lets pile up is memory,
	// too, and grows with what it holds to be alive.
	floodTime = 10 * time.Second
	// Without hashing the flood goes on for at most so many times half of that, until one of these raises
	// the peak by less than settled.
	maxSettling = 4
	settled     = 256 << 10
	// maxFloodMemory is what hashing may take of memory, as a multiple of slots times the hash's memory
	// (issue: "at most slots × hash memory plus a tenth").
	maxFloodMemory = 1.1
	// maxRefusal is how long a login that gets no hash slot may take to be decided, as a multiple of one
	// hash's time: "refused at once" is sooner than anything that was hashed.
	maxRefusal = 1
)

// measureFlood sends a thousand logins at once, again and again for some seconds. What the connections
// alone cost is measured first, in the same process: the sidecar refuses every login before it hashes
// anything while its relay does not exist. What the peak rises by once the relay does is what hashing
// costs. Two processes would differ by more than that: Go's heap grows in steps of 4 MiB, and it takes
// some time until it needs no more.
func measureFlood(ctx context.Context, l *lab) ([]Row, error) {
	p, err := l.realPlane(ctx)
	if err != nil {
		return nil, err
	}
	var floods []flood
	for round := range scale(l, 3, 1) {
		f, err := floodOnce(ctx, p, fmt.Sprintf("flood-%d", round), scale(l, floodTime, floodTime/4))
		if err != nil {
			return nil, err
		}
		l.say("flood: idle %s, connections %s more, hashing %s more", bytesUnit.format(f.idle), bytesUnit.format(f.connections), bytesUnit.format(f.hashing))
		floods = append(floods, f)
	}
	return floodRows(floods), nil
}

// flood is what one sidecar did. Times are in nanoseconds, memory in bytes.
type flood struct {
	// idle is what was resident at first, connections the rise of the peak by logins that are refused
	// before they are hashed, hashing the further rise by logins that are not.
	idle, connections, hashing float64
	refusal, hashTime          float64
	hashed, answered           float64
	perSecond, cost            float64
	late50, late99             float64
	bytes                      int64
}

func medianOf(fs []flood, value func(flood) float64) float64 {
	values := make([]float64, len(fs))
	for i, f := range fs {
		values[i] = value(f)
	}
	return median(values)
}

func floodRows(floods []flood) []Row {
	// A parsed hash tells its memory; the zero Hash stands for one of the default parameters.
	slots, hash := float64(floodSlots), float64(password.Hash{}.MemoryBytes())
	connections := medianOf(floods, func(f flood) float64 { return f.connections })
	responseTime := float64(time.Second)
	last := floods[len(floods)-1]
	return []Row{
		{What: fmt.Sprintf("memory for hashing under %d logins at once", floodClients), Unit: bytesUnit,
			Figure: Figure(medianOf(floods, func(f flood) float64 { return f.hashing })), Floor: Figure(slots * hash), Bound: ratioAtMost(maxFloodMemory),
			Note: fmt.Sprintf("rise of the peak of resident memory over that of as many connections without hashing; the floor is %.0f slots of %s", slots, bytesUnit.format(hash))},
		{What: "memory of the connections alone", Unit: bytesUnit, Figure: Figure(connections),
			Note: fmt.Sprintf("over idle, which is %s; %s each: buffers, goroutines, and the denial that is held back",
				bytesUnit.format(medianOf(floods, func(f flood) float64 { return f.idle })), bytesUnit.format(connections/floodClients))},
		{What: "time to refuse what gets no hash slot, 95%", Unit: nanoseconds,
			Figure: Figure(medianOf(floods, func(f flood) float64 { return f.refusal })), Floor: Figure(medianOf(floods, func(f flood) float64 { return f.hashTime })), Bound: ratioAtMost(maxRefusal),
			Note: fmt.Sprintf("upper bound of the histogram's bucket, against the time of one hash; of %.0f logins, %.0f were hashed", last.answered, last.hashed)},
		{What: "denials, CPU", Unit: perSecond, Figure: Figure(medianOf(floods, func(f flood) float64 { return f.perSecond })),
			CPU:  Figure(medianOf(floods, func(f flood) float64 { return f.cost })),
			Note: "processor time of the whole flood by its logins, hashes included"},
		{What: "replies after the response time, 50%", Unit: nanoseconds, Figure: Figure(medianOf(floods, func(f flood) float64 { return f.late50 - responseTime })),
			Note: fmt.Sprintf("99%%: %s; all of one status and %d bytes", nanoseconds.format(medianOf(floods, func(f flood) float64 { return f.late99 - responseTime })), last.bytes)},
	}
}

// floodOnce uses a sidecar of its own: what one flood leaves in memory must not be another's idle.
func floodOnce(ctx context.Context, p *plane, relay string, d time.Duration) (f flood, err error) {
	s, err := p.startSidecar(ctx, relay, fmt.Sprintf("--hash-slots=%d", floodSlots))
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, s.stop(ctx)) }()
	if err := resetPeak(s.pid()); err != nil {
		return f, err
	}
	idle, _, err := memoryUse(s.pid())
	if err != nil {
		return f, err
	}
	unhashed, err := f.settle(ctx, s, d/2, idle)
	if err != nil {
		return f, err
	}
	if _, err := p.newRelay(ctx, generousServer(relay, time.Second)); err != nil {
		return f, err
	}
	if err := s.awaitRelay(ctx); err != nil {
		return f, err
	}
	if err := f.runHashed(ctx, s, d); err != nil {
		return f, err
	}
	_, hashed, err := memoryUse(s.pid())
	f.idle = float64(idle)
	f.connections, f.hashing = float64(unhashed)-f.idle, float64(hashed)-float64(unhashed)
	return f, err
}

// settle floods until the peak of memory rises no more, and returns it.
func (f *flood) settle(ctx context.Context, s *sidecar, d time.Duration, idle uint64) (peak uint64, err error) {
	last := idle
	for range maxSettling {
		if err := f.run(ctx, s, d); err != nil {
			return 0, err
		}
		if _, peak, err = memoryUse(s.pid()); err != nil {
			return 0, err
		}
		if peak-last < settled {
			break
		}
		last = peak
	}
	return peak, nil
}

// awaitRelay asks until the sidecar knows its relay, which it denies everybody without.
func (s *sidecar) awaitRelay(ctx context.Context) error {
	t := newTarget(s.address, 1)
	defer t.close()
	for {
		if _, err := t.expect(ctx, pcLogin("nobody", "some password", deviceOf(0)), http.StatusUnauthorized); err != nil {
			return err
		}
		m, err := s.scrape(ctx)
		if err != nil {
			return err
		}
		if m.counter("tegata_login_attempts_total", "reason", unknownUser) > 0 {
			return nil
		}
	}
}

func (f *flood) runHashed(ctx context.Context, s *sidecar, d time.Duration) error {
	before, err := s.scrape(ctx)
	if err != nil {
		return err
	}
	if err := f.run(ctx, s, d); err != nil {
		return err
	}
	after, err := s.scrape(ctx)
	if err != nil {
		return err
	}
	f.readMetrics(before, after)
	return nil
}

func (f *flood) run(ctx context.Context, s *sidecar, d time.Duration) error {
	t := newTarget(s.address, floodClients)
	defer t.close()
	var mu sync.Mutex
	var took []float64
	got, cost, err := costedLoop(ctx, s.pid(), floodClients, d, func(ctx context.Context, worker, i int) error {
		r, err := t.expect(ctx, pcLogin(fmt.Sprintf("nobody-%04d-%04d", worker, i), "some password", deviceOf(worker)), http.StatusUnauthorized)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		if f.bytes != 0 && f.bytes != r.bytes {
			return fmt.Errorf("denials have %d and %d bytes", f.bytes, r.bytes)
		}
		f.bytes = r.bytes
		took = append(took, float64(r.took))
		return nil
	})
	f.perSecond, f.cost, f.answered = got.perSecond(), float64(cost), float64(got.requests)
	f.late50, f.late99 = quantile(took, 0.5), quantile(took, 0.99)
	return err
}

func (f *flood) readMetrics(before, after scrape) {
	const decided, hashes, refusals = "tegata_login_decision_seconds", "tegata_password_hash_duration_seconds", "tegata_password_refused_total"
	computed := since(before.histogram(hashes, "algorithm", "argon2id"), after.histogram(hashes, "algorithm", "argon2id"))
	f.hashed = float64(computed.GetSampleCount())
	f.hashTime = computed.GetSampleSum() / max(f.hashed, 1) * 1e9
	refused := after.counter(refusals, "", "") - before.counter(refusals, "", "")
	// What was refused was decided before what waited for a slot.
	decisions := since(before.histogram(decided, "verdict", "deny"), after.histogram(decided, "verdict", "deny"))
	f.refusal = within(decisions, 0.95*refused) * 1e9
}
