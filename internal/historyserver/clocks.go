package historyserver

import (
	"sync"
	"time"
)

// maxClockOffset is how far this server's clock and the API server's may be apart without a word about it.
const maxClockOffset = 5 * time.Minute

// clocks are two: this server's own, and the API server's as it was told last. What is dropped is gone, and what is
// refused is lost, so neither is done because one of them is wrong.
type clocks struct {
	own func() time.Time
	// uptime goes on steadily, whatever the clock is set to.
	uptime func() time.Duration

	mu    sync.Mutex
	told  time.Time // the API server's; zero until it was told
	after time.Duration
}

func newClocks(own func() time.Time) *clocks {
	start := time.Now()
	return &clocks{own: own, uptime: func() time.Duration { return time.Since(start) }}
}

// tell notes what time it is now by the API server's clock.
func (c *clocks) tell(theirs time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.told, c.after = theirs, c.uptime()
}

// theirs is the API server's time, or this server's own as long as that is not known.
func (c *clocks) theirs() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.told.IsZero() {
		return c.own()
	}
	return c.told.Add(c.uptime() - c.after)
}

// earliest is the time by the clock that is behind: what is over by it is over by both.
func (c *clocks) earliest() time.Time {
	own, theirs := c.own(), c.theirs()
	if theirs.Before(own) {
		return theirs
	}
	return own
}

// latest is the time by the clock that is ahead.
func (c *clocks) latest() time.Time {
	own, theirs := c.own(), c.theirs()
	if theirs.After(own) {
		return theirs
	}
	return own
}

// offset is how far this server's clock is ahead.
func (c *clocks) offset() time.Duration { return c.own().Sub(c.theirs()) }
