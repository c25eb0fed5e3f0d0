package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"
)

// people are the users that log in: PREFIX-0000 and so on, each from a PC of their own.
type people struct {
	url, prefix, password string
	count, concurrency    int
	interval              time.Duration
	client                *http.Client

	mu  sync.Mutex
	out *json.Encoder
}

// line is what is printed of each login.
type line struct {
	Time     time.Time `json:"time"`
	User     string    `json:"user"`
	Status   int       `json:"status"` // 0 when there was no answer
	ID       string    `json:"correlationID"`
	Enrolled bool      `json:"enrolled"`
	Millis   int64     `json:"ms"`
	Error    string    `json:"error,omitempty"`
}

func logins(ctx context.Context, forever bool, args []string) error {
	p := &people{out: json.NewEncoder(os.Stdout)}
	flags := flag.NewFlagSet("peer", flag.ContinueOnError)
	flags.StringVar(&p.url, "url", "", "where to log in")
	flags.StringVar(&p.prefix, "users", "load", "what the users' names begin with")
	flags.StringVar(&p.password, "password", "", "the password of all")
	flags.IntVar(&p.count, "count", 1, "how many users there are")
	flags.IntVar(&p.concurrency, "concurrency", 8, "how many log in at a time")
	flags.DurationVar(&p.interval, "interval", 0, "the time between the beginnings of two logins")
	if err := flags.Parse(args); err != nil {
		return err
	}
	// Each login is a connection of its own, as each comes from a device of its own.
	p.client = &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	return p.all(ctx, forever)
}

// all has everybody log in, once or again and again.
func (p *people) all(ctx context.Context, forever bool) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	free := make(chan struct{}, p.concurrency)
	ticks := time.NewTicker(max(p.interval, time.Microsecond))
	defer ticks.Stop()
	for i := 0; forever || i < p.count; i++ {
		select {
		case <-ctx.Done():
			return nil
		case <-ticks.C:
		}
		free <- struct{}{}
		wg.Go(func() {
			defer func() { <-free }()
			// One that is under way is brought to an end when it is told to stop.
			p.print(p.login(context.WithoutCancel(ctx), fmt.Sprintf("%s-%04d", p.prefix, i%p.count)))
		})
	}
	return nil
}

func (p *people) print(l line) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.out.Encode(l) // there is nowhere else to tell
}

func (p *people) login(ctx context.Context, user string) line {
	begun := time.Now()
	l := line{Time: begun.UTC(), User: user}
	if err := p.ask(ctx, &l); err != nil {
		l.Error = err.Error()
	}
	l.Millis = time.Since(begun).Milliseconds()
	return l
}

func (p *people) ask(ctx context.Context, l *line) error {
	body, err := json.Marshal(map[string]string{
		"user": l.User, "password": p.password, "program": "viewer", "viewer": "pc", "fingerprint": "pc-of-" + l.User,
	})
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := p.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(io.LimitReader(response.Body, 1<<16))
	if err != nil {
		return err
	}
	l.Status = response.StatusCode
	if json.Unmarshal(content, l) != nil {
		return errors.New("not the sidecar's answer")
	}
	l.Status = response.StatusCode // a problem's body has one, too
	return nil
}
