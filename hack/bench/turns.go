package main

import (
	"context"
	"errors"
	"time"
)

// contender is a server in a process of its own that takes turns with others.
type contender interface {
	// ask takes one turn, by requests of a contender's.
	ask(ctx context.Context, requests [][]byte, d time.Duration) error
	// requests are of the sessions that it has.
	requests() [][]byte
	// forget drops what was measured so far.
	forget()
	stop() error
}

// contest has three servers of these kinds take turns: the floor, one with few users and one with many. The floor has
// a turn next to each of the others, with the same requests.
func contest[S contender](ctx context.Context, l *lab, kinds [3]string, turn time.Duration, start func(context.Context, string) (S, error)) (servers [3]S, err error) {
	var started []S
	defer func() {
		for _, s := range started {
			err = errors.Join(err, s.stop())
		}
	}()
	for i, kind := range kinds {
		l.say("starting %s", kind)
		s, err := start(ctx, kind)
		if err != nil {
			return servers, err
		}
		started = append(started, s)
		servers[i] = s
	}
	floor, few, many := servers[0], servers[1], servers[2]
	for round := range scale(l, 25, 5) { // the first warms up
		for _, t := range []struct{ who, whose S }{{floor, few}, {few, few}, {floor, many}, {many, many}} {
			if err := t.who.ask(ctx, t.whose.requests(), turn); err != nil {
				return servers, err
			}
		}
		for _, s := range servers {
			if round == 0 {
				s.forget()
			}
		}
	}
	return servers, nil
}
