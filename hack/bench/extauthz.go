package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Bounds of the issue: "at least 1.0 of the always-OK grpc-go server's throughput, CPU at most 0.9 of it; at 100k
// users at most 1.1 times the CPU at 1k".
const (
	minCheckThroughput = 1.0
	maxCheckCPU        = 0.9
	maxCheckGrowth     = 1.1
)

// measureExtAuthz has three servers in processes of their own take turns: the listener that Envoy asks with few
// users and with many, and, as the floor, a gRPC server that reads the same requests and admits all of them.
func measureExtAuthz(ctx context.Context, l *lab) ([]Row, error) {
	servers, err := contest(ctx, l, [...]string{childAlwaysOK, childFewSessions, childManySessions},
		scale(l, 700*time.Millisecond, 400*time.Millisecond), l.startCheckServer)
	if err != nil {
		return nil, err
	}
	return checkRows(servers[0], servers[1], servers[2]), nil
}

func checkRows(floor, few, many *checkServer) []Row {
	rows := make([]Row, 0, 5)
	for _, s := range []struct {
		users  string
		server *checkServer
		floor  int // which of the floor's turns is next to the server's
	}{{"1k users", few, 0}, {"100k users", many, 1}} {
		speed, cpu := everySecond(floor.speed, s.floor), everySecond(floor.cpu, s.floor)
		rows = append(rows,
			Row{What: "session checks, " + s.users, Unit: perSecond, Figure: Figure(median(s.server.speed)), Floor: Figure(median(speed)),
				CPU: Figure(median(s.server.cpu)), Bound: &Bound{ofRatio, atLeast, minCheckThroughput}},
			Row{What: "CPU of a session check, " + s.users, Unit: nanoseconds, Figure: Figure(median(s.server.cpu)), Floor: Figure(median(cpu)),
				Bound: ratioAtMost(maxCheckCPU)})
	}
	rows[0].Note = "over gRPC, plaintext, 2 connections with 32 requests under way on each, requests as Envoy sends them for a browser's; the floor is a grpc-go server that decodes each and admits it"
	return append(rows, Row{What: "CPU of a session check at 100k users by that at 1k", Unit: nanoseconds,
		Figure: Figure(median(many.cpu)), Floor: Figure(median(few.cpu)), Bound: ratioAtMost(maxCheckGrowth)})
}

func everySecond(all []float64, first int) []float64 {
	var some []float64
	for i := first; i < len(all); i += 2 {
		some = append(some, all[i])
	}
	return some
}

// checkServer is a child, and what it did in each of its turns.
type checkServer struct {
	*child
	own        [][]byte // requests of the sessions that it has, encoded
	conns      []*grpc.ClientConn
	speed, cpu []float64
}

const (
	checkConnections = 2
	checksUnderWay   = 32
)

func (l *lab) startCheckServer(ctx context.Context, kind string) (*checkServer, error) {
	c, err := l.startChild(ctx, kind)
	if err != nil {
		return nil, err
	}
	s := &checkServer{child: c}
	address, tokens, _ := strings.Cut(c.address, " ")
	if tokens != "" {
		if s.own, err = requestsOf(ctx, tokens, encodedBrowserRequest); err != nil {
			return nil, errors.Join(err, c.stop())
		}
	}
	for range checkConnections {
		conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithDefaultCallOptions(grpc.ForceCodecV2(encoded{})))
		if err != nil {
			return nil, errors.Join(err, s.stop())
		}
		s.conns = append(s.conns, conn)
	}
	return s, nil
}

func (s *checkServer) stop() error {
	var err error
	for _, c := range s.conns {
		err = errors.Join(err, c.Close())
	}
	return errors.Join(err, s.child.stop())
}

func (s *checkServer) requests() [][]byte { return s.own }

func (s *checkServer) forget() { s.speed, s.cpu = nil, nil }

// ask takes one turn.
func (s *checkServer) ask(ctx context.Context, requests [][]byte, d time.Duration) error {
	const workers = checkConnections * checksUnderWay
	// Envoy gives each check a deadline; one for all of them costs the client less.
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	got, cost, err := costedLoop(ctx, s.pid(), workers, d, func(ctx context.Context, worker, i int) error {
		// The step is a prime, so that the sessions are asked for in no order that a cache likes.
		n := (worker*len(requests)/workers + i*7919) % len(requests)
		var answer []byte
		if err := s.conns[worker%checkConnections].Invoke(ctx, authv3.Authorization_Check_FullMethodName, requests[n], &answer); err != nil {
			return err
		}
		return admitted(answer)
	})
	if err != nil {
		return err
	}
	s.speed = append(s.speed, got.perSecond())
	s.cpu = append(s.cpu, float64(cost))
	return nil
}

// admitted looks at what a CheckResponse begins with: nothing but an admission has an empty status, or none and
// what is to be done when the request is admitted. Decoding it would cost the client as much as asking.
func admitted(answer []byte) error {
	const status, ok = 1<<3 | 2, 3<<3 | 2
	if len(answer) >= 2 && (answer[0] == ok || answer[0] == status && answer[1] == 0) {
		return nil
	}
	var response authv3.CheckResponse
	if err := proto.Unmarshal(answer, &response); err != nil {
		return err
	}
	return fmt.Errorf("a session was refused: %s", &response)
}

// encoded is a codec of bytes that are encoded already, so that the client costs little.
type encoded struct{}

func (encoded) Name() string { return "proto" }

func (encoded) Marshal(v any) (mem.BufferSlice, error) {
	b, ok := v.([]byte)
	if !ok {
		return nil, fmt.Errorf("marshal %T", v)
	}
	return mem.BufferSlice{mem.SliceBuffer(b)}, nil
}

func (encoded) Unmarshal(data mem.BufferSlice, v any) error {
	b, ok := v.(*[]byte)
	if !ok {
		return fmt.Errorf("unmarshal %T", v)
	}
	*b = data.Materialize()
	return nil
}

func encodedBrowserRequest(token string) ([]byte, error) { return proto.Marshal(browserRequest(token)) }

// browserRequest is what Envoy asks when a browser reads a page.
func browserRequest(token string) *authv3.CheckRequest {
	return &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Source:      &authv3.AttributeContext_Peer{Address: socketAddress("10.244.3.17", 51324)},
		Destination: &authv3.AttributeContext_Peer{Address: socketAddress("10.244.1.9", 8443)},
		Request: &authv3.AttributeContext_Request{
			Time: timestamppb.Now(),
			Http: &authv3.AttributeContext_HttpRequest{
				Id: "11358672183744208371", Method: "GET", Path: "/reports/2026/11?department=sales&page=2", Host: "reports.example.com",
				Scheme: "https", Protocol: "HTTP/2", Size: 0,
				Headers: map[string]string{
					":authority": "reports.example.com", ":method": "GET", ":path": "/reports/2026/11?department=sales&page=2", ":scheme": "https",
					"accept":             "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8",
					"accept-encoding":    "gzip, deflate, br, zstd",
					"accept-language":    "ja-JP,ja;q=0.9,en-US;q=0.8,en;q=0.7",
					"authorization":      "Bearer " + token,
					"cache-control":      "max-age=0",
					"cookie":             "theme=dark; locale=ja",
					"priority":           "u=0, i",
					"referer":            "https://reports.example.com/reports/2026/10?department=sales",
					"sec-ch-ua":          `"Chromium";v="142", "Not_A Brand";v="99"`,
					"sec-ch-ua-mobile":   "?0",
					"sec-ch-ua-platform": `"Linux"`,
					"sec-fetch-dest":     "document",
					"sec-fetch-mode":     "navigate",
					"sec-fetch-site":     "same-origin",
					"user-agent":         "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
					"x-forwarded-for":    "10.244.3.17",
					"x-forwarded-proto":  "https",
					"x-request-id":       "3f1b8d1e-6c0f-4a0e-9b59-0c2f5b8f7a11",
				},
			},
		},
		MetadataContext:      &corev3.Metadata{},
		RouteMetadataContext: &corev3.Metadata{},
	}}
}

func socketAddress(address string, port uint32) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address: address, PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: port},
	}}}
}
