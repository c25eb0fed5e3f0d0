// Package batching has batches of records that wait for one writer written together.
//
// A store has one writer at a time, who waits for the disk. Batches that come meanwhile stand in a line, and whose turn
// it is writes all that stand there in one transaction: a page that several of them change is written once, and the
// disk is waited for once. The package owns the line. It must not know how a batch is written, must not tell anybody of
// a batch before it is, and must not have a batch fail for another one's fault.
package batching

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/tegata-dev/tegata/internal/history"
)

// maxTogether bounds the records that are written together, but for those of one batch.
const maxTogether = 4 * history.MaxBatch

// errUnwritten is what became of a batch when who wrote it panicked.
var errUnwritten = errors.New("the batch was not written")

// Writer is what writes.
type Writer struct {
	// Write keeps batches in one transaction, as if one came after the other, and says what came of each.
	Write func(ctx context.Context, batches [][]history.Record) ([]history.Stored, error)
	// Alone says whether an error may be the fault of one batch. Then each is written for itself.
	Alone func(error) bool
}

// Line is the batches that wait. It is safe for concurrent use.
type Line struct {
	writer Writer
	turn   chan struct{} // holds one while somebody writes

	mu      sync.Mutex
	waiting []*batch
}

// batch is one that waits, or is being written: then it is of who writes, until done is closed.
type batch struct {
	ctx     context.Context
	records []history.Record
	done    chan struct{}
	stored  history.Stored
	err     error
}

// New makes a Line for a store.
func New(w Writer) *Line { return &Line{writer: w, turn: make(chan struct{}, 1)} }

// Put has a batch written, and says what came of it. Once it is being written, an end of ctx ends that only where all
// that are written with it were given up.
func (l *Line) Put(ctx context.Context, records []history.Record) (history.Stored, error) {
	b := &batch{ctx: ctx, records: records, done: make(chan struct{}), err: errUnwritten}
	l.mu.Lock()
	l.waiting = append(l.waiting, b)
	l.mu.Unlock()
	select {
	case l.turn <- struct{}{}:
		l.writeUntil(b)
	case <-b.done:
	case <-ctx.Done():
		if l.leave(b) {
			return history.Stored{}, ctx.Err()
		}
		<-b.done
	}
	return b.stored, b.err
}

// writeUntil writes from the head of the line until a batch was written, which it may be already.
func (l *Line) writeUntil(b *batch) {
	defer func() { <-l.turn }()
	for {
		select {
		case <-b.done:
			return
		default:
			l.writeSome()
		}
	}
}

func (l *Line) writeSome() {
	some := l.take()
	defer func() {
		for _, b := range some {
			close(b.done)
		}
	}()
	l.write(some)
}

// take takes batches from the head of the line.
func (l *Line) take() []*batch {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, records := 0, 0
	for _, b := range l.waiting {
		if records += len(b.records); n > 0 && records > maxTogether {
			break
		}
		n++
	}
	some := slices.Clone(l.waiting[:n])
	l.waiting = slices.Delete(l.waiting, 0, n)
	return some
}

// leave says whether a batch was in the line still.
func (l *Line) leave(b *batch) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.Index(l.waiting, b)
	if i >= 0 {
		l.waiting = slices.Delete(l.waiting, i, i+1)
	}
	return i >= 0
}

func (l *Line) write(some []*batch) {
	var wanted []*batch
	for _, b := range some {
		if b.err = b.ctx.Err(); b.err == nil {
			b.err = errUnwritten
			wanted = append(wanted, b)
		}
	}
	if len(wanted) == 0 {
		return
	}
	stored, err := l.together(wanted)
	if err != nil && len(wanted) > 1 && l.writer.Alone(err) {
		for i := range wanted {
			l.write(wanted[i : i+1])
		}
		return
	}
	for i, b := range wanted {
		if b.err = err; err == nil {
			b.stored = stored[i]
		}
	}
}

// together writes batches for as long as one of those who sent them waits.
func (l *Line) together(some []*batch) ([]history.Stored, error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(some[0].ctx))
	defer cancel()
	var waiting atomic.Int64
	waiting.Store(int64(len(some)))
	all, stops := make([][]history.Record, len(some)), make([]func() bool, len(some))
	for i, b := range some {
		all[i] = b.records
		stops[i] = context.AfterFunc(b.ctx, func() {
			if waiting.Add(-1) == 0 {
				cancel()
			}
		})
	}
	defer func() {
		for _, stop := range stops {
			stop()
		}
	}()
	return l.writer.Write(ctx, all)
}
