package timedid_test

import (
	"slices"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/tegata-dev/tegata/internal/timedid"
)

// TestNew: each id holds the time it is given, and tells nothing of another of the same millisecond. The library's own
// source counts upwards within one.
func TestNew(t *testing.T) {
	at := time.Date(2026, 11, 23, 12, 0, 0, 345_678_901, time.UTC)
	ids := make([]string, 64)
	for i := range ids {
		ids[i] = timedid.New(at)
		parsed, err := ulid.ParseStrict(ids[i])
		if err != nil {
			t.Fatal(err)
		}
		if got := ulid.Time(parsed.Time()); !got.Equal(at.Truncate(time.Millisecond)) {
			t.Errorf("%s holds %s", ids[i], got)
		}
	}
	if slices.IsSorted(ids) {
		t.Errorf("each id is above the one before: %q", ids)
	}
	slices.Sort(ids)
	if len(slices.Compact(ids)) != 64 {
		t.Error("an id came twice")
	}
}
