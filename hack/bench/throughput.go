package main

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-crypt/x/argon2"

	"github.com/tegata-dev/tegata/internal/password"
)

// minThroughput is the part of a bare loop's hashes a second that a sidecar must turn into logins
// (issue: "at least 0.9 of a bare loop of the same hash with the same slots").
const minThroughput = 0.9

// The default parameters of package password, for the loop.
const (
	argonPasses  = 2
	argonMemory  = 19456
	argonLanes   = 1
	argonKeyLen  = 32
	argonSaltLen = 16
)

// measureThroughput has logins of bound devices over HTTP, a bare loop of the library's hash, and one of
// our Verifier take turns. The better of the loops is the floor.
func measureThroughput(ctx context.Context, l *lab) (_ []Row, err error) {
	const users = 64
	p, err := l.realPlane(ctx)
	if err != nil {
		return nil, err
	}
	r, err := p.newRelay(ctx, generousServer("throughput", time.Second))
	if err != nil {
		return nil, err
	}
	if err := p.addUsers(ctx, r, users, r.bind); err != nil {
		return nil, err
	}
	s, err := p.startSidecar(ctx, r.name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.stop(ctx)) }()

	var got throughput
	for round := range scale(l, 6, 3) { // the first warms up
		if err := throughputRound(ctx, l, r, s, &got); err != nil {
			return nil, err
		}
		if round == 0 {
			got = throughput{}
		}
	}
	return got.rows(), nil
}

// throughput has a value a round: a second, and in nanoseconds.
type throughput struct {
	logins, loginCost, library, libraryCost, verifier, verifierCost []float64
}

func (t *throughput) rows() []Row {
	return []Row{
		{What: fmt.Sprintf("logins with %d hash slots", hashSlots()), Unit: perSecond,
			Figure: Figure(median(t.logins)), Floor: Figure(max(median(t.library), median(t.verifier))), CPU: Figure(median(t.loginCost)), Bound: &Bound{ofRatio, atLeast, minThroughput},
			Note: fmt.Sprintf("bound devices over HTTP, the shipped sidecar; the floor is the better loop with as many goroutines: the library's hash makes %.1f/s, our Verifier %.1f/s",
				median(t.library), median(t.verifier))},
		{What: "CPU of a login against that of a hash", Unit: nanoseconds,
			Figure: Figure(median(t.loginCost)), Floor: Figure(min(median(t.libraryCost), median(t.verifierCost))), Bound: ratioAtMost(1 / minThroughput),
			Note: "the same bound by processor time, which a busy machine disturbs less"},
	}
}

func throughputRound(ctx context.Context, l *lab, r *relay, s *sidecar, got *throughput) error {
	const clients = 8
	d := scale(l, 3*time.Second, time.Second)
	t := newTarget(s.address, clients)
	defer t.close()
	logins, cost, err := costedLoop(ctx, s.pid(), clients, d, func(ctx context.Context, worker, i int) error {
		n := (worker + i*clients) % 64
		_, err := t.expect(ctx, pcLogin(r.user(n), r.password, deviceOf(n)), http.StatusOK)
		return err
	})
	if err != nil {
		return err
	}
	got.logins, got.loginCost = append(got.logins, logins.perSecond()), append(got.loginCost, float64(cost))

	salt, key := make([]byte, argonSaltLen), make([]byte, argonKeyLen)
	perSecond, each, err := hashLoop(d, func() error {
		derived := argon2.IDKey([]byte(r.password), salt, argonPasses, argonMemory, argonLanes, argonKeyLen)
		_ = subtle.ConstantTimeCompare(derived, key)
		return nil
	})
	if err != nil {
		return err
	}
	got.library, got.libraryCost = append(got.library, perSecond), append(got.libraryCost, each)

	verifier := password.NewVerifier(password.Options{Slots: hashSlots()})
	perSecond, each, err = hashLoop(d, func() error {
		ok, err := verifier.Verify(ctx, r.hash, []byte(r.password), password.Preferred)
		if err == nil && !ok {
			err = errors.New("the right password did not match")
		}
		return err
	})
	got.verifier, got.verifierCost = append(got.verifier, perSecond), append(got.verifierCost, each)
	return err
}

// hashLoop hashes in as many goroutines as there are slots, and nothing else.
func hashLoop(d time.Duration, hash func() error) (perSecond, cost float64, err error) {
	before, err := ownCPUTime()
	if err != nil {
		return 0, 0, err
	}
	start := time.Now()
	var done atomic.Int64
	var failed atomic.Value
	var wg sync.WaitGroup
	for range hashSlots() {
		wg.Go(func() {
			for time.Since(start) < d && failed.Load() == nil {
				if err := hash(); err != nil {
					failed.Store(err)
					return
				}
				done.Add(1)
			}
		})
	}
	wg.Wait()
	elapsed := time.Since(start)
	after, err := ownCPUTime()
	if cause, ok := failed.Load().(error); ok {
		err = cause
	}
	n := float64(max(done.Load(), 1))
	return n / elapsed.Seconds(), float64(after-before) / n, err
}
