// Package extauthz is the gRPC listener at which Envoy asks whether a request may pass:
// envoy.service.auth.v3.Authorization.
//
// It extracts a SessionAttempt or an Attempt from a CheckRequest, renders the result as a CheckResponse, and
// holds denials back until their time; it has no policy of its own. It must not believe what a CheckRequest says
// of addresses and certificates unless a trusted proxy sent it. docs/envoy.md describes it.
package extauthz

import (
	"context"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/time/rate"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tegata-dev/tegata/internal/authn"
	"github.com/tegata-dev/tegata/internal/bearer"
	"github.com/tegata-dev/tegata/internal/denial"
	"github.com/tegata-dev/tegata/internal/tracing"
)

// ListenerName labels this listener's metrics and logs.
const ListenerName = "extauthz"

// Service answers sessions and logins; *authn.Service does.
type Service interface {
	CheckSession(ctx context.Context, a authn.SessionAttempt) authn.SessionResult
	Check(ctx context.Context, a *authn.Attempt) authn.Result
	Denial() authn.Denial
	Policy() *authn.Policy
}

// checker answers CheckRequests.
type checker struct {
	service Service
	denials denial.Renderer
	// checks bounds the requests that are read and decided, which takes no time, and whose messages are held as
	// long; waiting bounds what takes its time: logins, and denials that are held back. So a flood of either leaves
	// room for sessions.
	checks, waiting slots
	metrics         *Metrics
	tracer          *tracing.Tracer
	log             logr.Logger
	// What a wrong configuration causes is logged now and then.
	fewCallers, fewDeadlines rate.Sometimes
}

// slots are places for so many at a time.
type slots chan struct{}

func (s slots) take() bool {
	select {
	case s <- struct{}{}:
		return true
	default:
		return false
	}
}

func (s slots) free() { <-s }

// place is the one that a request has.
type place struct{ among slots }

// move gives up the place for another one, if there is any.
func (p *place) move(to slots) bool {
	if p.among == to {
		return true
	}
	if !to.take() {
		return false
	}
	p.among.free()
	p.among = to
	return true
}

// errBusy makes Envoy refuse the request, whoever sends it.
var errBusy = status.Error(codes.ResourceExhausted, "too many requests are under way")

// check answers one CheckRequest that decode reads. What it returns is encoded by codec.
func (c *checker) check(ctx context.Context, decode func(any) error) (response any, err error) {
	if !c.checks.take() {
		c.metrics.failed(causeBusy)
		return nil, errBusy
	}
	p := &place{c.checks}
	r, _ := requests.Get().(*request) // nothing else is ever put there
	defer func() {
		if bug := recover(); bug != nil {
			c.log.Error(fmt.Errorf("%v", bug), "Check handler failed")
			response, err = nil, status.Error(codes.Internal, "the check failed")
		}
		r.release()
		requests.Put(r)
		p.among.free()
	}()
	if err := decode(r); err != nil {
		if code := status.Code(err); code != codes.Canceled && code != codes.DeadlineExceeded {
			c.metrics.failed(causeMalformed) // the others did not arrive
		}
		return nil, err
	}
	if connection := connectionOf(ctx); connection != nil {
		connection.Begin()
		defer connection.End()
	}
	ctx, span := c.listen(ctx)
	defer span.End()
	// From here on the request is whole: a slow sender does not shorten the time of its own denial.
	return c.answer(ctx, r, p, time.Now())
}

// answer tries the session first: of a login that comes with each request, only the first is to cost a hash.
func (c *checker) answer(ctx context.Context, r *request, p *place, arrival time.Time) (any, error) {
	shown := r.credential()
	id := ""
	if shown.session {
		result := c.service.CheckSession(ctx, authn.SessionAttempt{
			Listener: ListenerName, Arrival: arrival, Token: string(shown.token), Source: c.origin(ctx, r).source,
		})
		if result.Allowed() {
			return r.admit(admission{user: result.User, slot: result.Slot.String(), session: result.SessionID}), nil
		}
		id = result.ID
	}
	switch {
	case shown.login:
		return c.login(ctx, r, p, arrival)
	case shown.session:
		return c.deny(ctx, r, p, arrival, id)
	}
	// Who shows nothing learns nothing: there is no decision whose time could tell.
	c.metrics.failed(causeNoCredential)
	return c.denied(r.text(acceptLanguage), authn.NewCorrelationID(arrival)), nil
}

// login logs in by Basic.
func (c *checker) login(ctx context.Context, r *request, p *place, arrival time.Time) (any, error) {
	from := c.origin(ctx, r)
	attempt, err := r.attempt(from)
	if err != nil {
		c.metrics.failed(causeInvalid)
		return invalid(err), nil
	}
	if !p.move(c.waiting) {
		c.metrics.failed(causeBusy)
		return nil, errBusy
	}
	attempt.Listener, attempt.ID, attempt.Arrival, attempt.Source = ListenerName, authn.NewCorrelationID(arrival), arrival, from.source
	result := c.service.Check(ctx, attempt)
	if !result.Allowed() {
		return c.deny(ctx, r, p, arrival, attempt.ID)
	}
	return r.admit(admission{
		user: result.Session.Details.User, slot: result.Slot.String(), session: result.Session.ID,
		setCookie: bearer.SetCookie(result.Token, time.Now(), result.ExpireTime),
	}), nil
}

// deny holds the uniform denial back until its time.
func (c *checker) deny(ctx context.Context, r *request, p *place, arrival time.Time, id string) (any, error) {
	if !p.move(c.waiting) {
		c.metrics.failed(causeBusy)
		return nil, errBusy
	}
	languages := r.text(acceptLanguage)
	r.release() // it may be large, and the wait is long
	responseTime := c.service.Denial().ResponseTime
	c.warnOfDeadline(ctx, arrival.Add(responseTime))
	if !denial.HoldBack(ctx, arrival, responseTime) {
		return nil, status.FromContextError(ctx.Err()).Err()
	}
	return c.denied(languages, id), nil
}

// warnOfDeadline tells that nobody will wait for a denial: a mistake in the gateway's configuration, with which
// people see the gateway's words and not the relay's.
func (c *checker) warnOfDeadline(ctx context.Context, leaves time.Time) {
	if deadline, ok := ctx.Deadline(); !ok || !deadline.Before(leaves) {
		return
	}
	c.metrics.failed(causeDeadline)
	c.fewDeadlines.Do(func() {
		c.log.Info("The gateway does not wait until a denial is sent: give its ext_authz a longer timeout than RelayServer spec.denial.responseTime")
	})
}
