package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"
)

const (
	floodClients = 1000
	// floodTime is long enough for some collections of garbage: what the collector lets pile up is memory,
	// too, and grows with what it holds to be alive.
	floodTime = 10 * time.Second
	// maxFloodMemory is what hashing may take of memory, as a multiple of slots times the hash's memory
	// (issue: "at most slots × hash memory plus a tenth").
	maxFloodMemory = 1.1
	// maxRefusal is how long a login that gets no hash slot may take to be decided, as a multiple of one
	// hash's time: "refused at once" is sooner than anything that was hashed.
	maxRefusal = 1
)

// measureFlood sends a thousand logins at once, again and again for some seconds. What the connections
// alone cost is measured on a sidecar that refuses every login before it hashes anything, because its
// relay does not exist; the difference is what hashing costs.
func measureFlood(ctx context.Context, l *lab) ([]Row, error) {
	p, err := l.realPlane(ctx)
	if err != nil {
		return nil, err
	}
	r, err := p.newRelay(ctx, generousServer("flood", time.Second))
	if err != nil {
		return nil, err
	}
	var hashed, refused []flood
	for range scale(l, 3, 1) {
		for _, relay := range []struct {
			name string
			to   *[]flood
		}{{"no-such-relay", &refused}, {r.name, &hashed}} {
			f, err := floodOnce(ctx, p, relay.name, scale(l, floodTime, floodTime/4))
			if err != nil {
				return nil, err
			}
			l.say("flood: %s grew by %s over %s", relay.name, bytesUnit.format(f.growth), bytesUnit.format(f.idle))
			*relay.to = append(*relay.to, f)
		}
	}
	slots := hashSlots()
	hashMemory := slots * int(r.hash.MemoryBytes())
	// Of peaks the highest counts: a round in which the collector ran early tells nothing of the next.
	byGrowth := func(a, b flood) int { return cmp.Compare(a.growth, b.growth) }
	connections := slices.MaxFunc(refused, byGrowth).growth
	growth := slices.MaxFunc(hashed, byGrowth).growth - connections
	return append([]Row{
		{What: fmt.Sprintf("memory for hashing under %d logins at once", floodClients), Unit: bytesUnit, Figure: Figure(growth), Floor: Figure(hashMemory), Bound: ratioAtMost(maxFloodMemory),
			Note: fmt.Sprintf("highest peak of resident memory over idle (%s), less that of the connections; the floor is %d slots of %s",
				bytesUnit.format(medianOf(hashed, func(f flood) float64 { return f.idle })), slots, bytesUnit.format(float64(r.hash.MemoryBytes())))},
		{What: "memory of the connections alone", Unit: bytesUnit, Figure: Figure(connections),
			Note: fmt.Sprintf("%s each: buffers, goroutine, and the denial that is held back", bytesUnit.format(connections/floodClients))},
	}, floodRows(hashed)...), nil
}

func floodRows(hashed []flood) []Row {
	last := hashed[len(hashed)-1]
	responseTime := float64(time.Second)
	return []Row{
		{What: "time to refuse what gets no hash slot, 95%", Unit: nanoseconds,
			Figure: Figure(medianOf(hashed, func(f flood) float64 { return f.refusal })), Floor: Figure(medianOf(hashed, func(f flood) float64 { return f.hashTime })), Bound: ratioAtMost(maxRefusal),
			Note: fmt.Sprintf("upper bound of the histogram's bucket, against the time of one hash; of %.0f logins, %.0f were hashed", last.answered, last.hashed)},
		{What: "denials, CPU", Unit: perSecond, Figure: Figure(medianOf(hashed, func(f flood) float64 { return f.perSecond })),
			CPU:  Figure(medianOf(hashed, func(f flood) float64 { return f.cost })),
			Note: "processor time of the whole flood by its logins, hashes included"},
		{What: "replies after the response time, 50%", Unit: nanoseconds, Figure: Figure(medianOf(hashed, func(f flood) float64 { return f.late50 - responseTime })),
			Note: fmt.Sprintf("99%%: %s; all of one status and %d bytes", nanoseconds.format(medianOf(hashed, func(f flood) float64 { return f.late99 - responseTime })), last.bytes)},
	}
}

// flood is what one flood of one sidecar did. Times are in nanoseconds, memory in bytes.
type flood struct {
	idle, growth      float64
	refusal, hashTime float64
	hashed, answered  float64
	perSecond, cost   float64
	late50, late99    float64
	bytes             int64
}

func medianOf(fs []flood, value func(flood) float64) float64 {
	values := make([]float64, len(fs))
	for i, f := range fs {
		values[i] = value(f)
	}
	return median(values)
}

// floodOnce uses a sidecar of its own: what one flood leaves in memory must not be another's idle.
func floodOnce(ctx context.Context, p *plane, relay string, d time.Duration) (f flood, err error) {
	s, err := p.startSidecar(ctx, relay)
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
	if err := f.run(ctx, s, d); err != nil {
		return f, err
	}
	_, peak, err := memoryUse(s.pid())
	if err != nil {
		return f, err
	}
	f.idle, f.growth = float64(idle), float64(peak)-float64(idle)
	err = f.readMetrics(ctx, s)
	return f, err
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

func (f *flood) readMetrics(ctx context.Context, s *sidecar) error {
	m, err := s.scrape(ctx)
	if err != nil {
		return err
	}
	decisions := m.histogram("tegata_login_decision_seconds", "verdict", "deny")
	hashes := m.histogram("tegata_password_hash_duration_seconds", "algorithm", "argon2id")
	f.hashed = float64(hashes.GetSampleCount())
	f.hashTime = hashes.GetSampleSum() / max(f.hashed, 1) * 1e9
	refused := m.counter("tegata_password_refused_total", "", "")
	// What was refused was decided before what waited for a slot.
	f.refusal = within(decisions, 0.95*refused) * 1e9
	return nil
}
