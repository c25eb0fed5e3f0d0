package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tegata-dev/tegata/internal/history"
	"github.com/tegata-dev/tegata/internal/history/recorder"
	"github.com/tegata-dev/tegata/internal/history/spool"
)

// maxAheadOfServer is how many records wait in a sidecar's spool at most while it is given more: as many as keep its
// batches full.
const maxAheadOfServer = 8 * history.MaxBatch

// batchGate lets batches pass while it is open, and keeps those that have passed.
type batchGate struct {
	to recorder.Destination
	// closed is held by who has closed it, and shared by batches on their way.
	closed sync.RWMutex

	mu     sync.Mutex
	passed [][]byte
	count  int
	failed error
}

var errNotKept = errors.New("not all records of a batch were kept")

// Send is of one sidecar.
func (g *batchGate) Send(ctx context.Context, records [][]byte) (recorder.Answer, error) {
	g.closed.RLock()
	defer g.closed.RUnlock()
	answer, err := g.to.Send(ctx, records)
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case err != nil:
		g.failed = err
	case answer.Kept != len(records):
		g.failed = fmt.Errorf("%w: %d of %d; refused %+v", errNotKept, answer.Kept, len(records), answer.Refused[:min(1, len(answer.Refused))])
	default:
		g.count += len(records)
		g.passed = append(g.passed, bytes.Join(records, nil))
	}
	return answer, err
}

// sent is how many records have passed since the last take.
func (g *batchGate) sent() (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.count, g.failed
}

// take are the batches that have passed since the last time. The gate is closed.
func (g *batchGate) take() (batches [][]history.Record, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, encoded := range g.passed {
		records, err := history.Decode(encoded)
		if err != nil {
			return nil, err
		}
		batches = append(batches, records)
	}
	g.passed, g.count = nil, 0
	return batches, g.failed
}

// historySidecar is what a sidecar has to record with, behind a gate.
type historySidecar struct {
	recorder *recorder.Recorder
	client   *recorder.Client
	gate     *batchGate
	stop     func()
}

func startHistorySidecar(ctx context.Context, dir, name string, s *historyServer) (*historySidecar, error) {
	c, err := recorder.NewClient(recorder.ClientOptions{
		Address: s.place.URL, Namespace: benchNamespace, Server: name, CAFile: s.place.CAFile, TokenFile: s.tokenFile,
	})
	if err != nil {
		return nil, err
	}
	h := &historySidecar{client: c, gate: &batchGate{to: c}}
	h.recorder = recorder.New(recorder.Options{
		Spool: spool.Options{Dir: filepath.Join(dir, "spool-"+name), MaxBytes: 256 << 20}, Destination: h.gate,
		Metrics: recorder.NewMetrics(prometheus.NewRegistry()), Log: logr.Discard(),
	})
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { defer close(done); h.recorder.Run(ctx) }()
	h.gate.closed.Lock()
	h.stop = func() {
		cancel()
		h.gate.closed.Unlock()
		<-done
		c.Close()
	}
	return h, nil
}

// feed records, no faster than the spool takes them, and not far ahead of the server.
func (h *historySidecar) feed(ctx context.Context, records []history.Record) error {
	for i := range records {
		for h.recorder.Busy() || h.recorder.State().Waiting > maxAheadOfServer {
			select {
			case <-time.After(time.Millisecond):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		h.recorder.Record(&records[i])
	}
	if lost := h.recorder.State().Lost; lost > 0 {
		return fmt.Errorf("%d records were lost", lost)
	}
	return nil
}
