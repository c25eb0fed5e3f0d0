package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"github.com/go-logr/logr"

	"github.com/tegata-dev/tegata/internal/authn"
	"github.com/tegata-dev/tegata/internal/decision"
	"github.com/tegata-dev/tegata/internal/fingerprint"
)

// maxOverhead is the processor time of everything in a login beside the password hash, in nanoseconds
// (issue: "at most 200 µs CPU").
const maxOverhead = 200_000

// measureOverhead has two servers in processes of their own take turns: the login listener with all that
// is behind it but the hash, and bare net/http as the floor.
func measureOverhead(ctx context.Context, l *lab) ([]Row, error) {
	http, err := overheadOverHTTP(ctx, l)
	if err != nil {
		return http, err
	}
	check, err := overheadOfCheck(ctx, l)
	return append(http, check...), err
}

// overheads are the servers' processor times for each request, a value a round.
type overheads struct{ admitted, denied, bare []float64 }

func overheadOverHTTP(ctx context.Context, l *lab) (rows []Row, err error) {
	logins, err := l.startChild(ctx, childLogin)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, logins.stop()) }()
	bare, err := l.startChild(ctx, childBare)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, bare.stop()) }()

	var got overheads
	for round := range scale(l, 6, 3) { // the first warms up
		if err := overheadRound(ctx, l, logins, bare, &got); err != nil {
			return nil, err
		}
		if round == 0 {
			got = overheads{}
		}
	}
	floor := Figure(median(got.bare))
	return []Row{
		{What: "admitted login over HTTP, CPU", Unit: nanoseconds, Figure: Figure(median(got.admitted)), Floor: floor, Bound: figureAtMost(maxOverhead),
			Note: "the floor is bare net/http with a request and a reply of the same size; plain HTTP on connections that stay open, one log line a login"},
		{What: "denied login over HTTP, CPU", Unit: nanoseconds, Figure: Figure(median(got.denied)), Floor: floor, Bound: figureAtMost(maxOverhead),
			Note: "wrong password; the failure is gathered but not written"},
	}, nil
}

func overheadRound(ctx context.Context, l *lab, logins, bare *child, got *overheads) error {
	const fewClients, manyClients = 8, 256 // a denial is held back, so it takes many to keep the server busy
	for _, phase := range []struct {
		server   *child
		clients  int
		password string
		status   int
		to       *[]float64
	}{
		{logins, fewClients, childPassword, http.StatusOK, &got.admitted},
		{bare, fewClients, childPassword, http.StatusOK, &got.bare},
		{logins, manyClients, "wrong" + childPassword, http.StatusUnauthorized, &got.denied},
	} {
		t := newTarget(phase.server.address, phase.clients)
		_, cost, err := costedLoop(ctx, phase.server.pid(), phase.clients, scale(l, 2*time.Second, time.Second), func(ctx context.Context, worker, i int) error {
			n := (worker + i*phase.clients) % childUsers
			_, err := t.expect(ctx, pcLogin(userName(n), phase.password, deviceOf(n)), phase.status)
			return err
		})
		t.close()
		if err != nil {
			return err
		}
		*phase.to = append(*phase.to, float64(cost))
	}
	return nil
}

// overheadOfCheck is the part that is ours alone: no HTTP, no log.
func overheadOfCheck(ctx context.Context, l *lab) ([]Row, error) {
	_, hash, err := newCredential()
	if err != nil {
		return nil, err
	}
	relay, err := memoryRelay(childUsers, childResponseTime, hash)
	if err != nil {
		return nil, err
	}
	d, err := relay.read(ctx)
	if err != nil {
		return nil, err
	}
	service, stop := newService(d, unhashed{childPassword}, logr.Discard())
	defer stop()
	var last authn.Result
	nanos, allocs, err := microBenchmark(scale(l, 5, 2), func() {
		last = service.Check(ctx, attempt(userName(1), childPassword, deviceOf(1)))
	})
	if err == nil && !last.Allowed() {
		err = fmt.Errorf("login was denied: %s", last.Reason)
	}
	return []Row{{What: "Service.Check of an admitted login", Unit: nanoseconds, Figure: Figure(nanos),
		Note: fmt.Sprintf("in this process, without HTTP and log; %.0f allocations", allocs)}}, err
}

// attempt is a login as a listener hands it over.
func attempt(user, password, device string) *authn.Attempt {
	f, err := fingerprint.ParseOpaque(device)
	if err != nil {
		panic(err) // deviceOf makes none that is malformed
	}
	return &authn.Attempt{
		Listener: "bench", ID: authn.NewCorrelationID(time.Now()), Arrival: time.Now(), UserName: user, Password: []byte(password),
		Program: decision.ProgramViewer, Viewer: decision.ViewerPC, Fingerprint: &f, Source: netip.MustParseAddr("127.0.0.1"),
	}
}
