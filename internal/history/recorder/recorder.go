// Package recorder sends a sidecar's records to the history server, and keeps them until they are there.
//
// It owns the way of a record from a login to the server: a queue in memory, the spool on disk, batches, retries, and
// the count of what was lost on the way. It must not block who records, and must not drop what it can still send. It
// does not know where records come from.
package recorder

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"

	"github.com/tegata-dev/tegata/internal/history"
	"github.com/tegata-dev/tegata/internal/history/spool"
)

const (
	// queueSize bounds the records in memory: those that are about to be written to the spool, or cannot be.
	queueSize = 4096
	// syncInterval is how long what was written to the spool may not be on disk yet.
	syncInterval = 200 * time.Millisecond
	// retryInterval is how often a disk that fails is tried again.
	retryInterval = time.Second
	// grace is how long a stop waits for what can still be sent.
	grace = 5 * time.Second
	// reportInterval is how often the same trouble is logged.
	reportInterval = time.Minute
)

// Cause is why a record was lost.
type Cause string

// The causes.
const (
	// SpoolFull: the history server was away for so long that the spool has no room.
	SpoolFull Cause = "spool-full"
	// DiskFailed: the spool cannot be written, and memory is full.
	DiskFailed Cause = "disk-failed"
	// Overrun: records came faster than the disk takes them.
	Overrun Cause = "overrun"
	// MemoryFull: there is no spool, and the history server is away.
	MemoryFull Cause = "memory-full"
	// Damaged: it was in the spool, which does not give it back.
	Damaged Cause = "damaged"
	// Refused: the history server does not take it.
	Refused Cause = "refused"
	// Stopped: the sidecar stopped before it could be sent, and there was no spool.
	Stopped Cause = "stopped"
)

var causes = []Cause{SpoolFull, DiskFailed, Overrun, MemoryFull, Damaged, Refused, Stopped}

// Destination takes batches of encoded records; *Client is one.
type Destination interface {
	Send(ctx context.Context, records [][]byte) (Answer, error)
}

// Options of a Recorder. All are required but Now and MaxBackoff.
type Options struct {
	// Spool is where records wait. With an empty Dir they wait in memory.
	Spool       spool.Options
	Destination Destination
	Metrics     *Metrics
	Log         logr.Logger
	// Now is the clock; time.Now when nil.
	Now func() time.Time
	// MaxBackoff is how long a batch that failed waits at most, unless the server asks for more; 30 s when zero.
	MaxBackoff time.Duration
}

// Recorder is safe for concurrent use.
type Recorder struct {
	Options
	line *line

	mu       sync.Mutex
	incoming []history.Record
	spare    []history.Record
	stopped  bool

	wake, more, unsynced chan struct{}

	lost     atomic.Int64
	reported reports
}

// New makes a Recorder, which keeps records in memory until it runs.
func New(o Options) *Recorder {
	if o.Now == nil {
		o.Now = time.Now
	}
	o.MaxBackoff = cmp.Or(o.MaxBackoff, maxBackoff)
	r := &Recorder{
		Options: o, line: newLine(o.Spool),
		wake: make(chan struct{}, 1), more: make(chan struct{}, 1), unsynced: make(chan struct{}, 1),
	}
	o.Metrics.observe(r.State)
	return r
}

// Record keeps a record. It does not block: what there is no room for is lost, and counted.
func (r *Recorder) Record(record *history.Record) {
	r.mu.Lock()
	switch {
	case r.stopped:
		r.mu.Unlock()
		r.lose(Stopped, 1)
		return
	case len(r.incoming)+r.line.inMemory() >= queueSize:
		r.mu.Unlock()
		r.lose(r.line.obstacle(), 1)
		return
	}
	r.incoming = append(r.incoming, *record)
	r.mu.Unlock()
	signal(r.wake)
}

// Busy says that there is so much to keep that what can be told later should be.
func (r *Recorder) Busy() bool {
	return r.queued() > queueSize/2 || r.line.bytes.Load() > r.Spool.MaxBytes/4*3
}

// queued is how many records are in memory.
func (r *Recorder) queued() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.incoming) + r.line.inMemory()
}

func (r *Recorder) lose(cause Cause, count int) {
	if count > 0 {
		r.lost.Add(int64(count))
		r.Metrics.lost.WithLabelValues(string(cause)).Add(float64(count))
	}
}

// State is what is to be known of a Recorder from outside.
type State struct {
	// Lost is how many records were lost since the process began.
	Lost int64
	// Waiting is how many are not acknowledged, and Bytes what the spool takes on disk.
	Waiting, Bytes int64
	// Limit is what the spool may take on disk, zero without one.
	Limit int64
	// Age is for how long the oldest of them has waited.
	Age time.Duration
}

// State never waits for a disk or for the server.
func (r *Recorder) State() State {
	s := State{Lost: r.lost.Load(), Waiting: r.line.onDisk.Load() + int64(r.queued()), Bytes: r.line.bytes.Load()}
	if r.Spool.Dir != "" {
		s.Limit = r.Spool.MaxBytes
	}
	if oldest := r.line.oldest.Load(); oldest != 0 {
		s.Age = max(0, r.Now().Sub(time.UnixMilli(oldest)))
	}
	return s
}

// Run keeps and sends records until ctx ends, and then for a few seconds more what is left. It must run once.
func (r *Recorder) Run(ctx context.Context) {
	sending, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	written, done := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { defer close(written); r.keep(ctx) })
	wg.Go(func() { r.sync(ctx) })
	wg.Go(func() { r.send(sending, written) })
	go func() { wg.Wait(); close(done) }()
	<-ctx.Done()
	end := time.AfterFunc(grace, giveUp)
	defer end.Stop()
	select {
	case <-done:
		r.close()
	case <-time.After(2 * grace): // a disk that hangs must not keep the sidecar from stopping
		r.Log.Info("The spool of records does not answer; stopping without it")
	}
}

func (r *Recorder) close() {
	left, err := r.line.close()
	if err != nil {
		r.Log.Error(err, "Spool of records was not closed in order")
	}
	r.lose(Stopped, left)
	if state := r.State(); left > 0 {
		r.Log.Info("Stopped with records that could not be sent and have no spool: they are lost", "records", left)
	} else if state.Waiting > 0 {
		r.Log.Info("Records wait in the spool for the next start", "records", state.Waiting)
	}
}

// keep moves records to the spool until ctx ends, and then those that came last.
func (r *Recorder) keep(ctx context.Context) {
	retry := time.NewTicker(retryInterval)
	defer retry.Stop()
	r.settle()
	for {
		select {
		case <-r.wake:
		case <-retry.C:
		case <-ctx.Done():
			r.mu.Lock()
			r.stopped = true
			r.mu.Unlock()
			r.settle()
			r.report()
			return
		}
		r.settle()
		r.report()
	}
}

// settle takes what has come in as far as it gets at present.
func (r *Recorder) settle() {
	r.mu.Lock()
	incoming := r.incoming
	r.incoming, r.spare = r.spare[:0], nil
	r.line.announce(len(incoming))
	r.mu.Unlock()
	r.line.add(r.encode(incoming), len(incoming), r.Now())
	clear(incoming)
	r.mu.Lock()
	r.spare = incoming[:0]
	r.mu.Unlock()

	found, err := r.line.settle(r.Now())
	if len(found.SetAside) > 0 {
		r.lose(Damaged, len(found.SetAside))
		r.Log.Info("Files of the spool could not be read and were set aside", "files", found.SetAside, "directory", r.Spool.Dir)
	}
	r.reported.disk.note(err)
	if r.line.onDisk.Load() > 0 || r.line.inMemory() > 0 {
		signal(r.more)
	}
	if r.line.unsynced.Load() {
		signal(r.unsynced)
	}
}

// encode makes of each record what is sent of it.
func (r *Recorder) encode(records []history.Record) [][]byte {
	if len(records) == 0 {
		return nil
	}
	encoded := make([][]byte, 0, len(records))
	var chunk []byte
	for i := range records {
		start := len(chunk)
		longer, err := history.Append(chunk, &records[i])
		if err != nil {
			r.lose(Refused, 1)
			r.reported.refused.note(err)
			continue
		}
		chunk = longer
		encoded = append(encoded, chunk[start:len(chunk):len(chunk)])
	}
	return encoded
}

// sync has the disk follow, a moment behind.
func (r *Recorder) sync(ctx context.Context) {
	for {
		select {
		case <-r.unsynced:
		case <-ctx.Done():
			return // closing syncs
		}
		timer := time.NewTimer(syncInterval)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
		if err := r.line.sync(); err != nil {
			r.reported.sync.note(fmt.Errorf("what was written may not be on disk: %w", err))
		}
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
