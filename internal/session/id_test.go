package session

import (
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
)

// TestIDsWhenTheClockSteps: an id holds the time that it was, and none comes twice, also when a time comes again.
func TestIDsWhenTheClockSteps(t *testing.T) {
	now, seen := time.Date(2026, 11, 15, 10, 17, 0, 0, time.UTC), map[string]bool{}
	for _, step := range []time.Duration{0, 48 * time.Hour, -48 * time.Hour, -8760 * time.Hour, 8760 * time.Hour, -time.Millisecond, time.Millisecond} {
		now = now.Add(step)
		for range 1000 {
			id := NewID(now)
			parsed, err := ulid.ParseStrict(id)
			if err != nil || !ulid.Time(parsed.Time()).Equal(now) || seen[id] || id < lowestID(now) {
				t.Fatalf("after a step of %s: %s is of %s, %v; there was one: %v", step, id, ulid.Time(parsed.Time()), err, seen[id])
			}
			seen[id] = true
		}
	}
	if id := NewID(time.Unix(0, 0)); id < lowestID(time.Unix(0, 0)) { // a clock without a battery
		t.Errorf("in 1970 it is %s", id)
	}
}
