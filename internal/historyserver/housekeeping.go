package historyserver

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"

	"github.com/tegata-dev/tegata/internal/history"
)

const (
	// lostInterval is how often connections of which no end was told are closed; lostGrace for how long after their
	// time was over the end may still be on its way.
	lostInterval = time.Minute
	lostGrace    = 10 * time.Minute
	lostAtOnce   = 1000
	// retentionInterval is how often what is too old is dropped.
	retentionInterval = time.Hour
	// firstTimeout is for how long housekeeping waits for the API server when it begins.
	firstTimeout = 10 * time.Second
)

// Retentions tells for how long records of the RelayServers that there are shall be kept. Zero is: not said. It also
// tells what time it is by another clock than this server's, zero when it does not know.
type Retentions interface {
	Retentions(ctx context.Context) (map[types.NamespacedName]time.Duration, time.Time, error)
}

// housekeeper does what a Store leaves to others. Several may do it at a time on one database: all of it can be
// done twice.
type housekeeper struct {
	store      history.Store
	retentions Retentions
	standard   time.Duration // where nothing is said
	clocks     *clocks
	metrics    *metrics
	log        logr.Logger
	// known is what was said last of each server, also of those that are gone: whoever deletes a RelayServer has not
	// said that what is known of its users may be kept for longer, or shall be erased at once.
	known map[types.NamespacedName]time.Duration
}

// run works until ctx ends.
func (h *housekeeper) run(ctx context.Context) {
	h.known = map[types.NamespacedName]time.Duration{}
	first, cancel := context.WithTimeout(ctx, firstTimeout)
	_ = h.learn(first) // the time, before anything is done by it; that it fails is told by the first round
	cancel()
	var running sync.WaitGroup
	running.Go(func() { h.repeat(ctx, "lost", lostInterval, h.closeLost) })
	running.Go(func() { h.repeat(ctx, "retention", retentionInterval, h.expire) })
	running.Wait()
}

func (h *housekeeper) repeat(ctx context.Context, task string, every time.Duration, do func(context.Context) error) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		err := do(ctx)
		if ctx.Err() != nil {
			return
		}
		h.metrics.round(task, err)
		if err != nil {
			h.log.Error(err, "Housekeeping failed; it is tried again", "task", task)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// closeLost ends the connections that can last no longer.
func (h *housekeeper) closeLost(ctx context.Context) error {
	for {
		closed, err := h.store.CloseLost(ctx, h.clocks.earliest().Add(-lostGrace), lostAtOnce)
		h.metrics.closed.Add(float64(closed))
		if err != nil {
			return fmt.Errorf("close lost connections: %w", err)
		}
		if closed < lostAtOnce {
			return nil
		}
	}
}

// expire drops what is older than it may be. One server that fails does not keep the others' records.
func (h *housekeeper) expire(ctx context.Context) error {
	errs := []error{h.learn(ctx)}
	for server, retention := range h.known {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		dropped, err := h.store.Expire(ctx, server.Namespace, server.Name, h.clocks.earliest().Add(-retention))
		if err != nil {
			errs = append(errs, fmt.Errorf("drop old records of %s/%s: %w", server.Namespace, server.Name, err))
			continue
		}
		h.metrics.expired(dropped)
		if dropped > 0 {
			h.log.Info("Records were kept for long enough, and are dropped", "namespace", server.Namespace, "server", server.Name, "records", dropped, "retention", retention)
		}
	}
	return errors.Join(errs...)
}

// learn reads for how long records are to be kept. Where that cannot be read, what was read last holds.
func (h *housekeeper) learn(ctx context.Context) error {
	said, now, err := h.retentions.Retentions(ctx)
	if err != nil {
		return fmt.Errorf("read the retention of RelayServers: %w", err)
	}
	h.compareClocks(now)
	for server, retention := range said {
		if retention <= 0 {
			retention = h.standard
		}
		h.known[server] = retention
	}
	// Records of servers that were gone before this process began.
	return h.learnGone(ctx)
}

// compareClocks takes note of what time it is by the API server.
func (h *housekeeper) compareClocks(theirs time.Time) {
	if theirs.IsZero() {
		return
	}
	h.clocks.tell(theirs)
	offset := h.clocks.offset()
	h.metrics.clockOffset.Set(offset.Seconds())
	if offset.Abs() > maxClockOffset {
		h.log.Info("This server's clock and the API server's differ: nothing is dropped before it is old enough by both",
			"ahead", offset.Round(time.Second))
	}
}

// learnGone adds the servers that only records tell of.
func (h *housekeeper) learnGone(ctx context.Context) error {
	servers, err := h.store.Servers(ctx)
	if err != nil {
		return fmt.Errorf("read of which servers there are records: %w", err)
	}
	for _, name := range servers {
		server := types.NamespacedName{Namespace: name.Namespace, Name: name.Name}
		if _, ok := h.known[server]; !ok {
			h.known[server] = h.standard
		}
	}
	return nil
}
