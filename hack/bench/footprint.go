package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"
)

const (
	// footprintSlots is what an injected sidecar has (config/inject/sidecar.yaml).
	footprintSlots = 4
	footprintTime  = 15 * time.Second
	// maxFootprint is the limit of memory that config/inject gives a sidecar, whatever the number of its users.
	maxFootprint = 512 << 20
)

// measureFootprint tells what a sidecar is to be given: it says what config/inject asks for.
func measureFootprint(ctx context.Context, l *lab) ([]Row, error) {
	p, err := l.realPlane(ctx)
	if err != nil {
		return nil, err
	}
	var rows []Row
	for _, users := range scale(l, []int{1_000, 100_000}, []int{1_000}) {
		l.say("footprint: making %d users", users)
		r, err := p.newRelay(ctx, generousServer(fmt.Sprintf("footprint-%d", users), time.Second))
		if err != nil {
			return nil, err
		}
		if err := p.addUsers(ctx, r, users, r.bind); err != nil {
			return nil, err
		}
		f, err := footprintOf(ctx, p, r, users)
		if err != nil {
			return nil, err
		}
		rows = append(rows, f.rows(users)...)
	}
	return rows, nil
}

// footprint is what one sidecar takes: resident bytes, and seconds of processor time in a second.
type footprint struct {
	start, idle, logins, flood float64
	ready                      time.Duration
	idleCPU, loginCPU          float64
	perSecond                  float64
}

func (f *footprint) rows(users int) []Row {
	of := fmt.Sprintf(", %d users", users)
	return []Row{
		{What: "memory, idle" + of, Unit: bytesUnit, Figure: Figure(f.idle),
			Note: fmt.Sprintf("at the start at most %s; ready after %.1f s", bytesUnit.format(f.start), f.ready.Seconds())},
		{What: "processor time of a second, idle" + of, Unit: nanoseconds, Figure: Figure(f.idleCPU * float64(time.Second))},
		{What: "memory, as many logins as it can check" + of, Unit: bytesUnit, Figure: Figure(f.logins), Bound: figureAtMost(maxFootprint),
			Note: fmt.Sprintf("the most; %.0f logins a second from bound devices, %.2f cores", f.perSecond, f.loginCPU)},
		{What: fmt.Sprintf("memory, %d logins at once%s", floodClients, of), Unit: bytesUnit, Figure: Figure(f.flood), Bound: figureAtMost(maxFootprint), Note: "the most"},
	}
}

func footprintOf(ctx context.Context, p *plane, r *relay, users int) (f *footprint, err error) {
	f = &footprint{}
	begin := time.Now()
	s, err := p.startSidecar(ctx, r.name, fmt.Sprintf("--hash-slots=%d", footprintSlots))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.stop(ctx)) }()
	f.ready = time.Since(begin)
	steps := []struct {
		peak, cpu *float64
		do        func() error
	}{
		{&f.idle, &f.idleCPU, func() error { waitFor(ctx, footprintTime); return ctx.Err() }},
		{&f.logins, &f.loginCPU, func() error { return f.logIn(ctx, s, r, users) }},
		{&f.flood, new(float64), func() error { return (&flood{}).run(ctx, s, footprintTime) }},
	}
	_, peak, err := memoryUse(s.pid())
	if err != nil {
		return nil, err
	}
	f.start = float64(peak)
	for _, step := range steps {
		if *step.peak, *step.cpu, err = during(s.pid(), step.do); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// during is the most that a process had resident while something was done, and the cores that it took.
func during(pid int, do func() error) (peak, cores float64, err error) {
	before, err := cpuTime(pid)
	if err != nil {
		return 0, 0, err
	}
	if err := resetPeak(pid); err != nil {
		return 0, 0, err
	}
	begin := time.Now()
	if err := do(); err != nil {
		return 0, 0, err
	}
	after, err := cpuTime(pid)
	if err != nil {
		return 0, 0, err
	}
	_, most, err := memoryUse(pid)
	return float64(most), (after - before).Seconds() / time.Since(begin).Seconds(), err
}

func (f *footprint) logIn(ctx context.Context, s *sidecar, r *relay, users int) error {
	const clients = 16
	t := newTarget(s.address, clients)
	defer t.close()
	var admitted atomic.Int64
	got, err := closedLoop(ctx, clients, footprintTime, func(ctx context.Context, worker, i int) error {
		n := (worker + i*clients) % users
		reply, err := t.login(ctx, pcLogin(r.user(n), r.password, deviceOf(n)), "")
		if reply.status == http.StatusOK { // on a busy machine some wait too long for a hash slot
			admitted.Add(1)
		}
		return err
	})
	f.perSecond = float64(admitted.Load()) / got.seconds
	return err
}
