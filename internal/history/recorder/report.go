package recorder

import (
	"sync"
	"time"
)

// reports gather trouble, so that what happens with every record is logged once a minute.
type reports struct {
	disk, sync, sending, refused trouble

	mu   sync.Mutex
	last time.Time
	lost int64
}

// trouble is the last of a kind since it was logged.
type trouble struct {
	mu    sync.Mutex
	err   error
	count int
	last  time.Time
}

func (t *trouble) note(err error) {
	if err == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.err = err
	t.count++
}

// due is what is to be logged now, nil for nothing.
func (t *trouble) due(now time.Time) (count int, trouble error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err == nil || !over(t.last, now) {
		return 0, nil
	}
	count, trouble = t.count, t.err
	t.count, t.err, t.last = 0, nil, now
	return count, trouble
}

// over says whether it is time again, also after the clock was set back.
func over(last, now time.Time) bool {
	return last.IsZero() || now.Sub(last) >= reportInterval || now.Before(last)
}

// report logs what there is to say.
func (r *Recorder) report() {
	now := r.Now()
	for _, each := range []struct {
		trouble *trouble
		message string
	}{
		{&r.reported.disk, "Spool of records cannot be written; they wait in memory"},
		{&r.reported.sync, "Spool of records was not synced"},
		{&r.reported.sending, "Records could not be sent, trying again"},
		{&r.reported.refused, "A record was refused, and is lost"},
	} {
		if count, err := each.trouble.due(now); err != nil {
			r.Log.Error(err, each.message, "times", count, "directory", r.Spool.Dir)
		}
	}
	r.reportLoss(now)
}

func (r *Recorder) reportLoss(now time.Time) {
	r.reported.mu.Lock()
	defer r.reported.mu.Unlock()
	lost := r.lost.Load()
	if lost == r.reported.lost || !over(r.reported.last, now) {
		return
	}
	r.Log.Info("Records of connection attempts were lost", "records", lost-r.reported.lost, "since the start", lost,
		"obstacle", string(r.line.obstacle()))
	r.reported.lost, r.reported.last = lost, now
}
