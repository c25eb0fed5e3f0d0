package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/rest"
)

// apiProxy stands between a sidecar and the API server, counts what the sidecar asks for, and can make
// its writes to one object wait. The sidecar under it is the shipped program: nothing in it is changed
// for the measurement.
type apiProxy struct {
	server  *http.Server
	address string

	mu    sync.Mutex
	gates map[string]*gate
	reads map[string]int
}

// gate makes writes wait until each is let through, or all are.
type gate struct {
	arrived chan chan struct{} // each write sends its own turn, which is closed to let it through
	opened  chan struct{}
}

// startProxy serves plain HTTP on loopback and speaks to the API server as config says.
func startProxy(config *rest.Config) (*apiProxy, error) {
	transport, err := rest.TransportFor(config)
	if err != nil {
		return nil, err
	}
	upstream, err := url.Parse(config.Host)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &apiProxy{address: "http://" + l.Addr().String(), gates: map[string]*gate{}, reads: map[string]int{}}
	forward := &httputil.ReverseProxy{
		Transport: transport,
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(upstream) },
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) {
			w.WriteHeader(http.StatusBadGateway) // mostly a watch that the sidecar ended
		},
	}
	p.server = &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.pass(r)
		forward.ServeHTTP(w, r)
	})}
	go func() {
		if err := p.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			panic(err) // a listener on loopback that fails leaves nothing to measure
		}
	}()
	return p, nil
}

func (p *apiProxy) close() error { return p.server.Close() }

// pass returns when the request may go on.
func (p *apiProxy) pass(r *http.Request) {
	object := strings.TrimSuffix(r.URL.Path, "/status")
	p.mu.Lock()
	g := p.gates[object]
	if r.Method == http.MethodGet {
		p.reads[object]++
		g = nil
	}
	p.mu.Unlock()
	if g == nil {
		return
	}
	turn := make(chan struct{})
	select {
	case g.arrived <- turn:
	case <-g.opened:
		return
	case <-r.Context().Done():
		return
	}
	select {
	case <-turn:
	case <-g.opened:
	case <-r.Context().Done():
	}
}

func (p *apiProxy) shut(object string) *gate {
	g := &gate{arrived: make(chan chan struct{}), opened: make(chan struct{})}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gates[object] = g
	return g
}

func (p *apiProxy) open(object string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.gates[object].opened)
	delete(p.gates, object)
}

func (p *apiProxy) readsOf(object string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.reads[object]
}

// writesAwaited counts the writes to an object that something waits for: each is made to wait, and only
// when nothing comes of it within the patience is it counted and let through. A write in the background
// is not counted, however soon it comes.
func (p *apiProxy) writesAwaited(ctx context.Context, object string, patience time.Duration, do func() error) (int, error) {
	g := p.shut(object)
	defer p.open(object)
	done := make(chan error, 1)
	go func() { done <- do() }()
	for awaited := 0; ; awaited++ {
		var turn chan struct{}
		select {
		case err := <-done:
			return awaited, err
		case turn = <-g.arrived:
		case <-ctx.Done():
			return awaited, ctx.Err()
		}
		timer := time.NewTimer(patience)
		select {
		case err := <-done:
			timer.Stop()
			return awaited, err
		case <-timer.C:
			close(turn)
		}
	}
}
