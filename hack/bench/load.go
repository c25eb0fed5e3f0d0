package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// target is a login listener, asked over connections that stay open.
type target struct {
	client *http.Client
	url    string
}

func newTarget(address string, connections int) *target {
	transport := &http.Transport{
		MaxIdleConnsPerHost: connections, MaxConnsPerHost: connections,
		IdleConnTimeout: time.Minute, DisableCompression: true,
	}
	return &target{client: &http.Client{Transport: transport, Timeout: time.Minute}, url: "http://" + address + "/v1/login"}
}

func (t *target) close() { t.client.CloseIdleConnections() }

// loginBody is the body of POST /v1/login.
type loginBody struct {
	User        string `json:"user"`
	Password    string `json:"password"`
	Program     string `json:"program"`
	Viewer      string `json:"viewer"`
	Fingerprint string `json:"fingerprint,omitempty"`
}

func pcLogin(user, password, fingerprint string) []byte {
	encoded, err := json.Marshal(loginBody{User: user, Password: password, Program: "viewer", Viewer: "pc", Fingerprint: fingerprint})
	if err != nil {
		panic(err) // strings can always be encoded
	}
	return encoded
}

// reply is an answer to a login.
type reply struct {
	status int
	bytes  int64
	took   time.Duration
}

// login asks once. A source other than empty is given as X-Forwarded-For.
func (t *target) login(ctx context.Context, body []byte, source string) (reply, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, t.url, bytes.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	request.Header.Set("Content-Type", "application/json")
	if source != "" {
		request.Header.Set("X-Forwarded-For", source)
	}
	start := time.Now()
	response, err := t.client.Do(request)
	if err != nil {
		return reply{}, err
	}
	defer response.Body.Close()
	n, err := io.Copy(io.Discard, response.Body)
	return reply{status: response.StatusCode, bytes: n, took: time.Since(start)}, err
}

// expect asks once and wants a status.
func (t *target) expect(ctx context.Context, body []byte, status int) (reply, error) {
	r, err := t.login(ctx, body, "")
	if err == nil && r.status != status {
		err = fmt.Errorf("login answered %d, want %d", r.status, status)
	}
	return r, err
}

// load is what a closed loop of clients got done.
type load struct {
	requests int64
	seconds  float64
}

func (l load) perSecond() float64 { return float64(l.requests) / l.seconds }

// closedLoop has each worker do one thing after the other for a time. The first error ends all.
func closedLoop(ctx context.Context, workers int, d time.Duration, do func(ctx context.Context, worker, i int) error) (load, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	start := time.Now()
	var done atomic.Int64
	var wg sync.WaitGroup
	for worker := range workers {
		wg.Go(func() {
			for i := 0; ctx.Err() == nil && time.Since(start) < d; i++ {
				if err := do(ctx, worker, i); err != nil {
					cancel(err)
					return
				}
				done.Add(1)
			}
		})
	}
	wg.Wait()
	return load{requests: done.Load(), seconds: time.Since(start).Seconds()}, context.Cause(ctx)
}

// costedLoop is closedLoop with the processor time of the process that serves it, for each request.
func costedLoop(ctx context.Context, pid, workers int, d time.Duration, do func(ctx context.Context, worker, i int) error) (load, time.Duration, error) {
	before, err := cpuTime(pid)
	if err != nil {
		return load{}, 0, err
	}
	got, err := closedLoop(ctx, workers, d, do)
	if err != nil {
		return got, 0, err
	}
	after, err := cpuTime(pid)
	return got, (after - before) / time.Duration(max(got.requests, 1)), err
}
