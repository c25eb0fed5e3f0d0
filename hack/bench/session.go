package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"time"

	"github.com/go-logr/logr"

	"github.com/tegata-dev/tegata/internal/authn"
)

const (
	// maxSessionCheck is what a request under a session may take in the process, in nanoseconds, and
	// maxSessionAllocations how often it may allocate (issue: "at most 1.5 µs and one allocation").
	maxSessionCheck       = 1500
	maxSessionAllocations = 1
	fewSessions           = 1_000
	manySessions          = 100_000
)

// measureSessionCheck checks the sessions of many users in random order, without a protocol around it.
func measureSessionCheck(ctx context.Context, l *lab) ([]Row, error) {
	var rows []Row
	var few float64
	for _, users := range []int{fewSessions, scale(l, manySessions, 10*fewSessions)} {
		nanos, allocs, err := sessionCheck(ctx, l, users)
		if err != nil {
			return rows, err
		}
		if few == 0 {
			few = nanos
		}
		what := fmt.Sprintf("check of a session, %d users", users)
		rows = append(rows,
			Row{What: what + ", time", Unit: nanoseconds, Figure: Figure(nanos), Floor: Figure(few), Bound: figureAtMost(maxSessionCheck)},
			Row{What: what + ", allocations", Unit: count, Figure: Figure(allocs), Bound: figureAtMost(maxSessionAllocations)})
	}
	rows[0].Note = "one session for each user, in random order; no protocol, no log; the floor is the first of these figures"
	return rows, nil
}

func sessionCheck(ctx context.Context, l *lab, users int) (nanos, allocs float64, err error) {
	_, hash, err := newCredential()
	if err != nil {
		return 0, 0, err
	}
	relay, err := memoryRelay(users, childResponseTime, hash)
	if err != nil {
		return 0, 0, err
	}
	d, err := relay.read(ctx)
	if err != nil {
		return 0, 0, err
	}
	service, stop := newService(d, unhashed{childPassword}, logr.Discard())
	defer stop()
	tokens, err := logInAll(ctx, service, users)
	if err != nil {
		return 0, 0, err
	}
	rand.Shuffle(users, func(i, j int) { tokens[i], tokens[j] = tokens[j], tokens[i] })
	tokens = inOneRow(tokens)
	request := authn.SessionAttempt{Listener: "bench", Arrival: time.Now(), Source: netip.MustParseAddr("127.0.0.1")}
	for _, token := range tokens { // as all but the first request of a session find it
		request.Token = token
		if r := service.CheckSession(ctx, request); !r.Allowed() {
			return 0, 0, fmt.Errorf("session was refused: %s", r.Reason)
		}
	}
	var last authn.SessionResult
	i := 0
	nanos, allocs, err = microBenchmark(scale(l, 5, 2), func() {
		request.Token = tokens[i]
		i++
		if i == users {
			i = 0
		}
		last = service.CheckSession(ctx, request)
	})
	if err == nil && !last.Allowed() {
		err = fmt.Errorf("session was refused: %s", last.Reason)
	}
	return nanos, allocs, err
}

// inOneRow has the tokens follow one another in memory: a token that was just received is near at hand, and what
// it takes to fetch it from afar is not the check's.
func inOneRow(tokens []string) []string {
	row := strings.Join(tokens, "")
	for i, token := range tokens {
		tokens[i], row = row[:len(token)], row[len(token):]
	}
	return tokens
}

// logInAll returns a token for each user.
func logInAll(ctx context.Context, service *authn.Service, users int) ([]string, error) {
	tokens := make([]string, users)
	for i := range tokens {
		result := service.Check(ctx, attempt(userName(i), childPassword, deviceOf(i)))
		if !result.Allowed() {
			return nil, fmt.Errorf("login of user %d was denied: %s", i, result.Reason)
		}
		tokens[i] = result.Token
	}
	return tokens, nil
}
