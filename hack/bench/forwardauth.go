package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// minForwardThroughput is the part of a trivial handler's requests a second that the forward auth listener must
// answer (issue: "at least 0.85 of the trivial handler").
const minForwardThroughput = 0.85

// measureForwardAuth has three servers in processes of their own take turns: the listener with few users and with
// many, and, as the floor, net/http with a handler that looks at nothing and answers the same every time.
func measureForwardAuth(ctx context.Context, l *lab) ([]Row, error) {
	servers, err := contest(ctx, l, [...]string{childTrivial, childFewForward, childManyForward},
		scale(l, 600*time.Millisecond, 400*time.Millisecond), l.startForwardServer)
	if err != nil {
		return nil, err
	}
	return forwardRows(servers[0], servers[1], servers[2]), nil
}

func forwardRows(floor, few, many *forwardServer) []Row {
	rows := make([]Row, 0, 4)
	for _, s := range []struct {
		users  string
		server *forwardServer
		floor  int // which of the floor's turns is next to the server's
	}{{"1k users", few, 0}, {"100k users", many, 1}} {
		speed, cpu := everySecond(floor.speed, s.floor), everySecond(floor.cpu, s.floor)
		rows = append(rows,
			Row{What: "session checks, " + s.users, Unit: perSecond, Figure: Figure(median(s.server.speed)), Floor: Figure(median(speed)),
				CPU: Figure(median(s.server.cpu)), Bound: &Bound{ofRatio, atLeast, minForwardThroughput}},
			Row{What: "CPU of a session check, " + s.users, Unit: nanoseconds, Figure: Figure(median(s.server.cpu)), Floor: Figure(median(cpu))})
	}
	rows[0].Note = fmt.Sprintf("over HTTP/1.1, %d connections that stay open, requests as nginx sends them for a browser's; the floor is net/http with the same requests and a handler that sets four constant headers, so that the answers are of one size", forwardConnections)
	return rows
}

// forwardConnections keep two cores busy without a queue that hides what a request takes.
const forwardConnections = 16

// forwardServer is a child, and what it did in each of its turns.
type forwardServer struct {
	*child
	own        [][]byte // requests of the sessions that it has, as they are sent
	conns      []*forwardConn
	speed, cpu []float64
}

func (l *lab) startForwardServer(ctx context.Context, kind string) (*forwardServer, error) {
	c, err := l.startChild(ctx, kind)
	if err != nil {
		return nil, err
	}
	s := &forwardServer{child: c}
	address, tokens, _ := strings.Cut(c.address, " ")
	if tokens != "" {
		if s.own, err = requestsOf(ctx, tokens, gatewayRequest); err != nil {
			return nil, errors.Join(err, c.stop())
		}
	}
	s.address = address
	return s, nil
}

// connect opens the connections when they are about to be used: a server closes those that ask nothing.
func (s *forwardServer) connect(ctx context.Context) error {
	for len(s.conns) < forwardConnections {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.address)
		if err != nil {
			return err
		}
		s.conns = append(s.conns, &forwardConn{conn, bufio.NewReader(conn)})
	}
	return nil
}

func (s *forwardServer) stop() error {
	var err error
	for _, c := range s.conns {
		err = errors.Join(err, c.Close())
	}
	return errors.Join(err, s.child.stop())
}

func (s *forwardServer) requests() [][]byte { return s.own }

func (s *forwardServer) forget() { s.speed, s.cpu = nil, nil }

// ask takes one turn.
func (s *forwardServer) ask(ctx context.Context, requests [][]byte, d time.Duration) error {
	if err := s.connect(ctx); err != nil {
		return err
	}
	got, cost, err := costedLoop(ctx, s.pid(), forwardConnections, d, func(_ context.Context, worker, i int) error {
		// The step is a prime, so that the sessions are asked for in no order that a cache likes.
		n := (worker*len(requests)/forwardConnections + i*7919) % len(requests)
		return s.conns[worker].ask(requests[n])
	})
	if err != nil {
		return err
	}
	s.speed = append(s.speed, got.perSecond())
	s.cpu = append(s.cpu, float64(cost))
	return nil
}

// forwardConn is a connection of a client that costs little, so that what is measured is the server.
type forwardConn struct {
	net.Conn
	answers *bufio.Reader
}

var okLine = []byte("HTTP/1.1 200 OK\r\n")

// ask wants a 200 without a body.
func (c *forwardConn) ask(request []byte) error {
	if _, err := c.Write(request); err != nil {
		return err
	}
	status, err := c.answers.ReadSlice('\n')
	if err != nil {
		return err
	}
	if !bytes.Equal(status, okLine) {
		return fmt.Errorf("a session was answered %q", status)
	}
	for {
		line, err := c.answers.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) == len("\r\n") {
			return nil
		}
	}
}

func gatewayRequest(token string) ([]byte, error) {
	return []byte(strings.Replace(forwardRequest, "TOKEN", token, 1)), nil
}

// forwardRequest is what nginx asks, as docs/nginx.md configures it, when a browser reads a page.
var forwardRequest = strings.Join([]string{
	"GET /v1/auth HTTP/1.1",
	"Host: reports.example.com",
	"X-Forwarded-For: 10.244.3.17",
	"accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8",
	"accept-encoding: gzip, deflate, br, zstd",
	"accept-language: ja-JP,ja;q=0.9,en-US;q=0.8,en;q=0.7",
	"cache-control: max-age=0",
	"cookie: theme=dark; locale=ja; __Host-tegata-session=TOKEN",
	"priority: u=0, i",
	"referer: https://reports.example.com/reports/2026/10?department=sales",
	`sec-ch-ua: "Chromium";v="142", "Not_A Brand";v="99"`,
	"sec-ch-ua-mobile: ?0",
	`sec-ch-ua-platform: "Linux"`,
	"sec-fetch-dest: document",
	"sec-fetch-mode: navigate",
	"sec-fetch-site: same-origin",
	"user-agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
	"", "",
}, "\r\n")
