package recorder

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/tegata-dev/tegata/internal/history"
)

const (
	// sendGap is how long records gather after a batch that was not full.
	sendGap = 250 * time.Millisecond
	// minBackoff and maxBackoff bound how long a failed batch waits.
	minBackoff = 200 * time.Millisecond
	maxBackoff = 30 * time.Second
	// maxRetryAfter bounds how long a server may ask to be left alone.
	maxRetryAfter = 5 * time.Minute
)

// Answer is what became of a batch.
type Answer struct {
	Kept, Dropped int
	Refused       []Refusal
}

// Refusal is a record that the server does not take.
type Refusal struct {
	Index int
	ID    string
	Error string
}

// ErrNotTaken says that the server does not take a batch as a whole, and will not when it is sent again.
var ErrNotTaken = errors.New("history server does not take the batch")

// SendError is a failure that may pass.
type SendError struct {
	// Status is the HTTP status, 0 without one.
	Status int
	// After is for how long the server wants to be left alone, zero when it does not say.
	After time.Duration
	Err   error
}

func (e *SendError) Error() string { return e.Err.Error() }
func (e *SendError) Unwrap() error { return e.Err }

// send sends batches, one at a time, until ctx ends, or everything was sent once nothing is written any more.
func (r *Recorder) send(ctx context.Context, written <-chan struct{}) {
	failures, stopping := 0, false
	for ctx.Err() == nil {
		full, sent, err := r.sendNext(ctx)
		wait := time.Duration(0)
		switch {
		case err != nil:
			failures++
			r.failed(err)
			if stopping {
				return // the next start goes on
			}
			wait = backoff(failures, err, r.MaxBackoff)
		case sent && full:
			failures = 0
		case sent:
			failures = 0
			if !stopping {
				wait = sendGap
			}
		case stopping:
			return
		default:
			stopping = r.awaitMore(ctx, written)
			continue
		}
		if wait > 0 {
			stopping = pause(ctx, wait, written) || stopping
		}
	}
}

// awaitMore waits until something is to be sent, and says whether nothing more will be written.
func (r *Recorder) awaitMore(ctx context.Context, written <-chan struct{}) (stopping bool) {
	select {
	case <-r.more:
		return false
	case <-written:
		return true
	case <-ctx.Done():
		return true
	}
}

// pause waits, and says whether it was cut short because nothing more will be written.
func pause(ctx context.Context, wait time.Duration, written <-chan struct{}) (stopping bool) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return false
	case <-written:
		return true
	case <-ctx.Done():
		return true
	}
}

// backoff is how long to wait after so many failures, none of two sidecars alike, but what the server asks for.
func backoff(failures int, err error, most time.Duration) time.Duration {
	wait := min(most, minBackoff<<min(failures-1, 10))
	wait = wait/2 + rand.N(wait/2+1)
	if failure := (*SendError)(nil); errors.As(err, &failure) && failure.After > wait {
		return min(failure.After, maxRetryAfter)
	}
	return wait
}

// sendNext sends one batch, and says whether there was one, and whether the next is not to wait.
func (r *Recorder) sendNext(ctx context.Context) (full, sent bool, err error) {
	b, err := r.line.take()
	if err != nil || b == nil {
		return false, false, err
	}
	if len(b.records) > 0 {
		if err := r.deliver(ctx, b.records); err != nil {
			return false, false, err
		}
	}
	if b.disk != nil && b.disk.Damaged+b.disk.Missing > 0 {
		r.lose(Damaged, b.disk.Damaged+b.disk.Missing)
	}
	if err := r.line.done(b); err != nil {
		r.reported.disk.note(err)
	}
	return b.full, true, nil
}

// deliver sends records. Its error says that they are to be sent again. Where the server does not take them together,
// it looks for the one that is to blame.
func (r *Recorder) deliver(ctx context.Context, records [][]byte) error {
	answer, err := r.Destination.Send(ctx, records)
	switch {
	case err == nil:
		r.took(records, answer)
		return nil
	case !errors.Is(err, ErrNotTaken):
		return err
	case len(records) > 1:
		half := len(records) / 2
		if err := r.deliver(ctx, records[:half]); err != nil {
			return err
		}
		return r.deliver(ctx, records[half:])
	}
	// Who takes nothing at all is no history server, or is set up wrongly: that must not empty the spool.
	if _, probe := r.Destination.Send(ctx, nil); probe != nil {
		if errors.Is(probe, ErrNotTaken) {
			return &SendError{Err: fmt.Errorf("it takes no batch at all, not an empty one: is this a history server? %w", probe)}
		}
		return probe
	}
	return r.again(ctx, records)
}

// again sends a record once more that was not taken, to a server that is known to take others: it may have become well
// only after the first time.
func (r *Recorder) again(ctx context.Context, record [][]byte) error {
	answer, err := r.Destination.Send(ctx, record)
	switch {
	case err == nil:
		r.took(record, answer)
		return nil
	case errors.Is(err, ErrNotTaken):
		r.refuse(record[0], err.Error())
		return nil
	}
	return err
}

func (r *Recorder) took(records [][]byte, answer Answer) {
	r.Metrics.took(answer, r.Now())
	for _, refusal := range answer.Refused {
		r.refuse(records[refusal.Index], refusal.Error)
	}
}

// refuse counts a record that the server does not take. Its id finds it in the sidecar's log.
func (r *Recorder) refuse(record []byte, why string) {
	r.Metrics.refused.Inc()
	r.lose(Refused, 1)
	id := "unreadable"
	if decoded, err := history.Decode(record); err == nil && len(decoded) == 1 {
		id = decoded[0].ID.String()
	}
	const maxWhy = 200
	r.reported.refused.note(fmt.Errorf("record %s: %s", id, strconv.QuoteToASCII(why[:min(len(why), maxWhy)])))
}

func (r *Recorder) failed(err error) {
	status := 0
	if failure := (*SendError)(nil); errors.As(err, &failure) {
		status = failure.Status
	}
	r.Metrics.failures.WithLabelValues(strconv.Itoa(status)).Inc()
	r.reported.sending.note(err)
}
