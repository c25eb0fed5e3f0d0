package recorder

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tegata-dev/tegata/internal/history"
	"github.com/tegata-dev/tegata/internal/history/spool"
)

const (
	// writeRecords are written to the spool at a time.
	writeRecords = 256
	// batchBytes bounds a batch that is sent, before it is compressed.
	batchBytes = 1 << 20
)

// line is where records wait, in their order: first those on disk, then those in memory, which are about to be
// written. Where there is no disk, or it fails, they are sent from memory.
//
// Its mutex is held while the disk works. What others than keeping and sending ask is in atomics: a disk that hangs
// must hang neither a login nor the Lease.
type line struct {
	o spool.Options

	mu     sync.Mutex
	disk   *spool.Spool // nil where there is none, or none yet
	failed error        // why the disk does not take records at present
	memory []waiting
	first  uint64 // number of the first record in memory; they are numbered on

	onDisk, bytes, oldest atomic.Int64
	unsynced              atomic.Bool
	blocked               atomic.Value // of Cause

	counting        sync.Mutex // never held while the disk works
	announced, held int
}

type waiting struct {
	record []byte
	since  time.Time
}

func newLine(o spool.Options) *line {
	l := &line{o: o}
	l.blocked.Store(l.cause())
	return l
}

// inMemory is how many records are in memory and not in the recorder's hands any more.
func (l *line) inMemory() int {
	l.counting.Lock()
	defer l.counting.Unlock()
	return l.announced + l.held
}

// obstacle is why there may be no room.
func (l *line) obstacle() Cause {
	cause, _ := l.blocked.Load().(Cause)
	return cause
}

func (l *line) cause() Cause {
	switch {
	case l.o.Dir == "":
		return MemoryFull
	case errors.Is(l.failed, spool.ErrFull):
		return SpoolFull
	case l.failed != nil:
		return DiskFailed
	}
	return Overrun
}

// announce counts records that add is about to bring.
func (l *line) announce(count int) {
	l.counting.Lock()
	defer l.counting.Unlock()
	l.announced = count
}

// add takes records, of so many that were announced.
func (l *line) add(records [][]byte, announced int, now time.Time) {
	if announced == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, record := range records {
		l.memory = append(l.memory, waiting{record, now})
	}
	l.counting.Lock() // at once: counted twice, they would have others lost for which there is room
	l.announced, l.held = 0, len(l.memory)
	l.counting.Unlock()
	l.publish()
}

// settle moves records from memory to disk, and says what it found there when it opened it. Its error says why they
// stay in memory; without a directory, they do so in peace.
func (l *line) settle(now time.Time) (found spool.Recovered, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.publish()
	if l.o.Dir == "" {
		return found, nil
	}
	if l.disk == nil {
		if l.disk, found, l.failed = spool.Open(l.o); l.failed != nil {
			l.disk = nil
			return found, l.failed
		}
	}
	l.failed = nil
	records := make([][]byte, 0, min(len(l.memory), writeRecords))
	for len(l.memory) > 0 {
		records = records[:0]
		for _, w := range l.memory[:min(len(l.memory), writeRecords)] {
			records = append(records, w.record)
		}
		if l.failed = l.disk.Append(records, now); l.failed != nil {
			return found, l.failed
		}
		l.forget(len(records))
		l.unsynced.Store(true)
	}
	return found, nil
}

// forget drops the first in memory. It needs l.mu.
func (l *line) forget(count int) {
	clear(l.memory[:count])
	l.memory = l.memory[count:]
	l.first += uint64(count) //nolint:gosec // not negative
	if len(l.memory) == 0 {
		l.memory = nil
	}
	l.counting.Lock()
	l.held = len(l.memory)
	l.counting.Unlock()
}

// batch are records on their way.
type batch struct {
	records [][]byte
	// full: it would have no more records if it was sent later, or those behind it would not.
	full bool
	// disk is where they are from; without one, they are from memory, up to the number upTo.
	disk *spool.Batch
	upTo uint64
}

// take is the next batch, nil when nothing waits. It is the same until it is done.
func (l *line) take() (*batch, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.disk != nil {
		b, err := l.disk.Next(history.MaxBatch, batchBytes)
		if err != nil || !b.Empty() {
			// One that ends with a file, or that has large records, is none to wait after.
			behind := l.disk.Stats().Records - len(b.Records)
			return &batch{records: b.Records, disk: &b, full: max(len(b.Records), behind) >= history.MaxBatch}, err
		}
	}
	if len(l.memory) == 0 || l.disk != nil && (l.failed == nil || errors.Is(l.failed, spool.ErrFull)) {
		return nil, nil // what is in memory is about to be written
	}
	b := &batch{}
	bytes := 0
	for _, w := range l.memory[:min(len(l.memory), history.MaxBatch)] {
		if bytes += len(w.record); bytes > batchBytes && len(b.records) > 0 {
			break
		}
		b.records = append(b.records, w.record)
	}
	b.upTo = l.first + uint64(len(b.records))
	b.full = max(len(b.records), len(l.memory)-len(b.records)) >= history.MaxBatch
	return b, nil
}

// done forgets a batch that was sent. Its error is of no consequence but that records may be sent again.
func (l *line) done(b *batch) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.publish()
	if b.disk != nil {
		return l.disk.Acknowledge(b.disk)
	}
	if b.upTo > l.first { // or they were written to disk meanwhile, and are sent again
		l.forget(int(b.upTo - l.first)) //nolint:gosec // not more than there are
	}
	return nil
}

// publish needs l.mu.
func (l *line) publish() {
	stats := spool.Stats{}
	if l.disk != nil {
		stats = l.disk.Stats()
	}
	if stats.Records == 0 && len(l.memory) > 0 {
		stats.Oldest = l.memory[0].since
	}
	l.onDisk.Store(int64(stats.Records))
	l.bytes.Store(stats.Bytes)
	oldest := int64(0)
	if !stats.Oldest.IsZero() {
		oldest = stats.Oldest.UnixMilli()
	}
	l.oldest.Store(oldest)
	l.blocked.Store(l.cause())
}

func (l *line) sync() error {
	l.mu.Lock()
	disk := l.disk
	l.unsynced.Store(false)
	l.mu.Unlock()
	if disk == nil {
		return nil
	}
	return disk.Sync()
}

// close says how many records are in memory only.
func (l *line) close() (left int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.disk != nil {
		err = l.disk.Close()
		l.disk = nil
	}
	return len(l.memory), err
}
