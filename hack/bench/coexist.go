package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/tegata-dev/tegata/internal/testenv"
)

// Bounds of the issue: "During a flood of 64 to 1,000 concurrent password logins, session checks keep p50 at most
// 1.2 times and p99 at most 5 times their idle figures".
const (
	maxMedianInFlood = 1.2
	maxP99InFlood    = 5
)

const (
	checkEvery   = 5 * time.Millisecond
	coexistUsers = 16
	// childFlood is this program as a crowd that logs in: childFlood@ADDRESS@CLIENTS.
	childFlood = "flood"
)

// measureCoexistence checks sessions at the shipped sidecar, one every few milliseconds, by turns while nothing
// else happens and while a crowd floods its login listener. The crowd is a process of its own, which has of the cores
// what nobody else wants: it stands for people elsewhere, and is to take nothing from the sidecar but answers.
func measureCoexistence(ctx context.Context, l *lab) (_ []Row, err error) {
	p, err := l.realPlane(ctx)
	if err != nil {
		return nil, err
	}
	r, err := p.newRelay(ctx, generousServer("coexist", time.Second))
	if err != nil {
		return nil, err
	}
	if err := p.addUsers(ctx, r, coexistUsers, r.bind); err != nil {
		return nil, err
	}
	gateway, err := testenv.FreeAddress()
	if err != nil {
		return nil, err
	}
	s, err := p.startSidecar(ctx, r.name, "--forward-auth-address="+gateway)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.stop(ctx)) }()
	c, err := newSessionClient(ctx, r, s, gateway)
	if err != nil {
		return nil, err
	}
	defer c.close()
	var rows []Row
	for _, clients := range []int{64, 1000} {
		got, err := c.besideFlood(ctx, l, s, clients)
		if err != nil {
			return rows, err
		}
		rows = append(rows, got...)
	}
	return rows, nil
}

// sessionClient checks sessions by forward auth, over one connection.
type sessionClient struct {
	client *http.Client
	url    string
	tokens []string
}

func newSessionClient(ctx context.Context, r *relay, s *sidecar, gateway string) (*sessionClient, error) {
	c := &sessionClient{client: &http.Client{Transport: &http.Transport{MaxConnsPerHost: 1}, Timeout: time.Minute}, url: "http://" + gateway + "/v1/auth"}
	for i := range coexistUsers {
		token, err := c.logIn(ctx, "http://"+s.address+"/v1/login", pcLogin(r.user(i), r.password, deviceOf(i)))
		if err != nil {
			return nil, err
		}
		c.tokens = append(c.tokens, token)
	}
	return c, nil
}

func (c *sessionClient) close() { c.client.CloseIdleConnections() }

func (c *sessionClient) logIn(ctx context.Context, url string, body []byte) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	var got struct {
		Session struct {
			Token string `json:"token"`
		} `json:"session"`
	}
	if err := json.NewDecoder(response.Body).Decode(&got); err != nil || got.Session.Token == "" {
		return "", fmt.Errorf("login answered %s without a session: %w", response.Status, err)
	}
	return got.Session.Token, nil
}

// check asks once.
func (c *sessionClient) check(ctx context.Context, i int) (time.Duration, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url, http.NoBody)
	if err != nil {
		return 0, err
	}
	request.Header.Set("Authorization", "Bearer "+c.tokens[i%len(c.tokens)])
	start := time.Now()
	response, err := c.client.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	took := time.Since(start)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("session check answered %s", response.Status)
	}
	return took, err
}

// paced checks one session after the other at a steady pace, which a slow answer does not slow down for long.
func (c *sessionClient) paced(ctx context.Context, d time.Duration) ([]float64, error) {
	ticker := time.NewTicker(checkEvery)
	defer ticker.Stop()
	var took []float64
	for start := time.Now(); time.Since(start) < d; {
		<-ticker.C
		one, err := c.check(ctx, len(took))
		if err != nil {
			return nil, err
		}
		took = append(took, float64(one))
	}
	return took, nil
}

func (c *sessionClient) besideFlood(ctx context.Context, l *lab, s *sidecar, clients int) ([]Row, error) {
	const settle = 1500 * time.Millisecond
	var idle, flooded []float64
	var answered, seconds float64
	for range scale(l, 5, 2) {
		took, err := c.paced(ctx, scale(l, 3*time.Second, time.Second))
		if err != nil {
			return nil, err
		}
		idle = append(idle, took...)
		crowd, err := l.startChild(ctx, fmt.Sprintf("%s@%s@%d", childFlood, s.address, clients))
		if err != nil {
			return nil, err
		}
		_, err = c.paced(ctx, settle)
		before, scraped := s.scrape(ctx)
		start := time.Now()
		took, failed := c.paced(ctx, scale(l, 3*time.Second, time.Second))
		seconds += time.Since(start).Seconds()
		after, scrapedAgain := s.scrape(ctx)
		if err := errors.Join(err, scraped, failed, scrapedAgain, crowd.stop()); err != nil {
			return nil, err
		}
		flooded = append(flooded, took...)
		answered += after.counter("tegata_login_attempts_total", "", "") - before.counter("tegata_login_attempts_total", "", "")
		if _, err := c.paced(ctx, settle); err != nil { // what was held back leaves
			return nil, err
		}
	}
	row := func(q, bound float64) Row {
		return Row{What: fmt.Sprintf("session check during %d logins at once, %.0f%%", clients, q*100), Unit: nanoseconds,
			Figure: Figure(quantile(flooded, q)), Floor: Figure(quantile(idle, q)), Bound: ratioAtMost(bound)}
	}
	rows := []Row{row(0.5, maxMedianInFlood), row(0.99, maxP99InFlood)}
	rows[0].Note = fmt.Sprintf("forward auth at the shipped sidecar, one every %s over one connection, %d and %d of them by turns; the floor is the same without the flood, of which %.0f logins a second were answered",
		checkEvery, len(idle), len(flooded), answered/seconds)
	return rows, nil
}

// runFlood logs in as many at once as it is told, until standard input ends.
func runFlood(ctx context.Context, address, clients string) error {
	n, err := strconv.Atoi(clients)
	if err != nil {
		return err
	}
	if err := yieldCores(); err != nil {
		return fmt.Errorf("leave the cores to others: %w", err)
	}
	ctx, cancel := untilEOF(ctx)
	defer cancel()
	fmt.Println("flooding", address)
	t := newTarget(address, n)
	defer t.close()
	_, err = closedLoop(ctx, n, maxRunTime, func(ctx context.Context, worker, i int) error {
		if i == 0 && !waitFor(ctx, time.Duration(worker)*time.Second/time.Duration(n)) {
			return ctx.Err()
		}
		_, err := t.login(ctx, pcLogin(fmt.Sprintf("nobody-%04d-%04d", worker, i), "some password", deviceOf(worker)), "")
		return err
	})
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// waitFor spreads a crowd over the second that a denial takes: of one that came in the same instant, all would come
// in the same instant again and again, as no crowd does.
func waitFor(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// isFlood reads what childFlood is called with.
func isFlood(kind string) (address, clients string, ok bool) {
	rest, isFlood := strings.CutPrefix(kind, childFlood+"@")
	address, clients, hasClients := strings.Cut(rest, "@")
	return address, clients, isFlood && hasClients
}
