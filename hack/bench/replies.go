package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/decision"
)

const (
	repliesResponseTime = 200 * time.Millisecond
	// repliesUsers is how many users there are of each cause, so that no throttle steps in.
	repliesUsers = 100
	// sourceFailures is how often a source may fail before it is throttled.
	sourceFailures = 20
	throttledFrom  = "198.51.100.7"
)

// repliesCauses are the kinds of denial, the first of which the others are compared with. A throttled
// login and one without a device are decided without or before much of the work.
var repliesCauses = []string{
	unknownUser, decision.PasswordMismatch.String(), decision.UserSuspended.String(), decision.DeviceMismatch.String(),
	decision.DeviceAuthUnsupported.String(), decision.Throttled.String(),
}

// measureReplies compares the times of replies by the cause of the denial, as a client of the shipped
// sidecar sees them, from sources of its own choice.
func measureReplies(ctx context.Context, l *lab) (_ []Row, err error) {
	p, err := l.realPlane(ctx)
	if err != nil {
		return nil, err
	}
	server := generousServer("replies", repliesResponseTime)
	server.Spec.TrustedProxies = []v1alpha1.CIDR{"127.0.0.1/32"}
	server.Spec.Throttle.PerSource = v1alpha1.ThrottleLimit{Failures: sourceFailures, Interval: server.Spec.MaxStaleness}
	r, err := p.newRelay(ctx, server)
	if err != nil {
		return nil, err
	}
	err = p.addUsers(ctx, r, 2*repliesUsers, func(i int, u *v1alpha1.RelayUser) {
		r.bind(i, u)
		u.Spec.Suspended = i >= repliesUsers
	})
	if err != nil {
		return nil, err
	}
	s, err := p.startSidecar(ctx, r.name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.stop(ctx)) }()
	sampler := &repliesSampler{relay: r, sidecar: s, times: map[string][]float64{}}
	if err := sampler.sample(ctx, scale(l, 40*time.Second, 10*time.Second)); err != nil {
		return nil, err
	}
	return timingRows(sampler.times, "reply", repliesCauses)
}

type repliesSampler struct {
	relay   *relay
	sidecar *sidecar
	mu      sync.Mutex
	times   map[string][]float64
	bytes   int64
}

// sample has few clients, so that the hashes of one do not make the others wait, and each of them draws
// the order of the causes anew each time.
func (s *repliesSampler) sample(ctx context.Context, d time.Duration) error {
	const clients = 4
	t := newTarget(s.sidecar.address, clients)
	defer t.close()
	if err := s.exhaustSource(ctx, t); err != nil {
		return err
	}
	before, err := s.sidecar.scrape(ctx)
	if err != nil {
		return err
	}
	_, err = closedLoop(ctx, clients, d, func(ctx context.Context, _, _ int) error {
		for _, i := range rand.Perm(len(repliesCauses)) {
			if err := s.one(ctx, t, repliesCauses[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	after, err := s.sidecar.scrape(ctx)
	if err != nil {
		return err
	}
	return s.checkCauses(before, after)
}

// exhaustSource guesses from one source until it is throttled.
func (s *repliesSampler) exhaustSource(ctx context.Context, t *target) error {
	for i := range sourceFailures + 1 {
		if _, err := t.login(ctx, pcLogin(fmt.Sprintf("nobody-%d", i), "some password", deviceOf(0)), throttledFrom); err != nil {
			return err
		}
	}
	return nil
}

func (s *repliesSampler) one(ctx context.Context, t *target, cause string) error {
	body, source := s.request(cause)
	r, err := t.login(ctx, body, source)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.status != http.StatusUnauthorized || (s.bytes != 0 && s.bytes != r.bytes) {
		return fmt.Errorf("%s: status %d with %d bytes; others had %d", cause, r.status, r.bytes, s.bytes)
	}
	s.bytes = r.bytes
	s.times[cause] = append(s.times[cause], float64(r.took))
	return nil
}

// request makes all bodies of a length.
func (s *repliesSampler) request(cause string) (body []byte, source string) {
	n := rand.IntN(repliesUsers)
	source = fmt.Sprintf("10.%d.%d.%d", rand.IntN(256), rand.IntN(256), rand.IntN(256))
	user, password, device := s.relay.user(n), s.relay.password, deviceOf(n)
	switch cause {
	case unknownUser:
		user = "nobody!-" + user[len("nobody!-"):]
	case decision.PasswordMismatch.String():
		password = "x" + password[1:]
		if password == s.relay.password {
			password = "y" + password[1:]
		}
	case decision.UserSuspended.String():
		user, device = s.relay.user(n+repliesUsers), deviceOf(n+repliesUsers)
	case decision.DeviceMismatch.String():
		device = deviceOf(n + 2*repliesUsers)
	case decision.DeviceAuthUnsupported.String():
		device = ""
	case decision.Throttled.String():
		source = throttledFrom
		user = "nobody!-" + user[len("nobody!-"):]
	}
	return pcLogin(user, password, device), source
}

// checkCauses makes sure that what was compared is what it is called.
func (s *repliesSampler) checkCauses(before, after scrape) error {
	const name = "tegata_login_attempts_total"
	for cause, times := range s.times {
		got := after.counter(name, "reason", cause) - before.counter(name, "reason", cause)
		// A check that waited too long for a hash slot is ServerUnavailable; the reply is to be the same.
		if got < 0.9*float64(len(times)) {
			return fmt.Errorf("of %d logins meant for %s, the sidecar counts %.0f", len(times), cause, got)
		}
	}
	return nil
}
