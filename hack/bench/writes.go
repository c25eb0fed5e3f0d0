package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// The writes that a login may wait for (issue: "Repeat logins of a bound device: no synchronous API
// write. First login: exactly one").
const (
	firstLoginWrites  = 1
	repeatLoginWrites = 0
)

// measureWrites counts the writes that logins wait for, by making each write wait and seeing whether the
// login is answered without it.
func measureWrites(ctx context.Context, l *lab) (_ []Row, err error) {
	p, err := l.realPlane(ctx)
	if err != nil {
		return nil, err
	}
	r, err := p.newRelay(ctx, generousServer("writes", time.Second))
	if err != nil {
		return nil, err
	}
	users := scale(l, 20, 5)
	if err := p.addUsers(ctx, r, users, nil); err != nil {
		return nil, err
	}
	s, err := p.startSidecar(ctx, r.name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.stop(ctx)) }()
	w := &writes{plane: p, relay: r, target: newTarget(s.address, 1)}
	defer w.target.close()

	first, reads, err := w.logins(ctx, users, 1)
	if err != nil {
		return nil, err
	}
	again, _, err := w.logins(ctx, users, scale(l, 10, 5))
	if err != nil {
		return nil, err
	}
	return append(
		countRows(fmt.Sprintf("first login of %d users", users), first, firstLoginWrites, fmt.Sprintf("besides %.0f read", reads)),
		countRows(fmt.Sprintf("repeat logins of %d users", users), again, repeatLoginWrites, "")...), nil
}

// countRows wants an exact count from every login: the most and the fewest are both held to it.
func countRows(what string, awaited []int, want float64, note string) []Row {
	rows := []Row{{What: what + ", most writes", Unit: count, Figure: Figure(slices.Max(awaited)), Bound: figureAtMost(want), Note: note}}
	if want > 0 {
		rows = append(rows, Row{What: what + ", fewest writes", Unit: count, Figure: Figure(slices.Min(awaited)), Bound: &Bound{ofFigure, atLeast, want}})
	}
	return rows
}

type writes struct {
	plane  *plane
	relay  *relay
	target *target
}

// logins has each user log in some times, and returns how many writes each of the logins waited for, and
// the reads of the user by the last one.
func (w *writes) logins(ctx context.Context, users, times int) (awaited []int, reads float64, err error) {
	const patience = 300 * time.Millisecond // much longer than an answer takes that waits for nothing
	for range times {
		for i := range users {
			before := w.plane.proxy.readsOf(w.relay.path(i))
			n, err := w.plane.proxy.writesAwaited(ctx, w.relay.path(i), patience, func() error {
				_, err := w.target.expect(ctx, pcLogin(w.relay.user(i), w.relay.password, deviceOf(i)), http.StatusOK)
				return err
			})
			if err != nil {
				return nil, 0, err
			}
			awaited = append(awaited, n)
			reads = float64(w.plane.proxy.readsOf(w.relay.path(i)) - before)
		}
	}
	return awaited, reads, nil
}
