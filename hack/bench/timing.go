package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/go-logr/logr"

	"github.com/tegata-dev/tegata/internal/authn"
	"github.com/tegata-dev/tegata/internal/decision"
	"github.com/tegata-dev/tegata/internal/password"
)

// patience is a response time that no deadline of a check comes near.
const patience = 10 * time.Second

// unknownUser is what every other cause of a denial is compared with.
const unknownUser = "UnknownUser"

// measureDecisionTiming times decisions themselves, without the time for which a denial is held back: that
// hides what would show here, a password hash that is not computed for users who do not exist.
func measureDecisionTiming(ctx context.Context, l *lab) ([]Row, error) {
	s, err := newDecisionSampler(ctx, l.breakHash)
	if err != nil {
		return nil, err
	}
	defer s.stop()
	if err := s.sample(ctx, scale(l, 200, 40)); err != nil {
		return nil, err
	}
	rows, err := timingRows(s.times, "decision's time", s.causes())
	if err != nil {
		return nil, err
	}
	cpu, err := timingRows(s.cpu, "decision's CPU", s.causes())
	return append(rows, cpu...), err
}

// decisionSampler times decisions by their cause, on the clock, as an attacker would, and by the processor
// time that they take, which shows skipped work on a busy machine, too.
type decisionSampler struct {
	service    *authn.Service
	stop       func()
	password   string
	times, cpu map[string][]float64 // in nanoseconds
}

func newDecisionSampler(ctx context.Context, breakHash bool) (*decisionSampler, error) {
	plain, hash, err := newCredential()
	if err != nil {
		return nil, err
	}
	relay, err := memoryRelay(2, patience, hash)
	if err != nil {
		return nil, err
	}
	d, err := relay.read(ctx)
	if err != nil {
		return nil, err
	}
	var verifier authn.Verifier = password.NewVerifier(password.Options{})
	if breakHash {
		verifier = skipsZeroHash{verifier}
	}
	s := &decisionSampler{password: plain, times: map[string][]float64{}, cpu: map[string][]float64{}}
	s.service, s.stop = newService(d, verifier, logr.Discard())
	return s, nil
}

// causes are the kinds of attempt, the first of which the others are compared with.
func (s *decisionSampler) causes() []string {
	return []string{unknownUser, decision.PasswordMismatch.String(), decision.DeviceMismatch.String()}
}

func (s *decisionSampler) attempt(cause string) *authn.Attempt {
	switch cause {
	case unknownUser:
		return attempt("nobody-0001", s.password, deviceOf(0))
	case decision.PasswordMismatch.String():
		return attempt(userName(0), "wrong"+s.password, deviceOf(0))
	}
	return attempt(userName(0), s.password, deviceOf(999))
}

// sample interleaves the causes in an order that is drawn anew each time.
func (s *decisionSampler) sample(ctx context.Context, rounds int) error {
	causes := s.causes()
	for round := range rounds + 1 {
		for _, i := range rand.Perm(len(causes)) {
			took, used, err := s.one(ctx, causes[i])
			if err != nil {
				return err
			}
			if round > 0 { // the first warms up
				s.times[causes[i]] = append(s.times[causes[i]], float64(took))
				s.cpu[causes[i]] = append(s.cpu[causes[i]], float64(used))
			}
		}
	}
	return ctx.Err()
}

func (s *decisionSampler) one(ctx context.Context, cause string) (took, used time.Duration, err error) {
	before, err := ownCPUTime()
	if err != nil {
		return 0, 0, err
	}
	a := s.attempt(cause)
	start := time.Now()
	result := s.service.Check(ctx, a)
	took = time.Since(start)
	if got := result.Reason.String(); got != cause {
		return 0, 0, fmt.Errorf("denied for %q, want %s", got, cause)
	}
	after, err := ownCPUTime()
	return took, after - before, err
}

// maxResolution is the part of a hash's time that a comparison must at least be able to see, or the run
// was too noisy for its passing to mean anything.
const maxResolution = 0.25

// typicalHash is about what a hash of the default parameters takes, in nanoseconds.
const typicalHash = 20e6

// timingRows compares each cause with the first.
func timingRows(times map[string][]float64, what string, causes []string) ([]Row, error) {
	var rows []Row
	reference := times[causes[0]]
	for _, cause := range causes[1:] {
		c, err := compare(times[cause], reference)
		if err != nil {
			return rows, fmt.Errorf("%s: %w", cause, err)
		}
		row := Row{
			What: fmt.Sprintf("%s, %s against %s", what, cause, causes[0]), Unit: tStatistic, Figure: Figure(c.t), Bound: figureAtMost(maxT),
			Note: fmt.Sprintf("medians %s and %s (ratio %.4f) of %d and %d; a difference of %s would have failed",
				nanoseconds.format(c.medianA), nanoseconds.format(c.medianB), c.medianA/c.medianB, len(times[cause]), len(reference), nanoseconds.format(c.resolution)),
		}
		if c.t <= maxT && c.resolution > maxResolution*typicalHash {
			row.Verdict = noisy
		}
		rows = append(rows, row)
	}
	return rows, nil
}
