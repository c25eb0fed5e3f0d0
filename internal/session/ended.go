package session

import (
	"slices"
	"time"
)

// Ended are the sessions of one user that are refused although their time is not over. Its zero value ends
// none. It is bounded: when more than the bound were ended, the oldest of them take all older ones with
// them, so that what is forgotten is that a session was alive, never that it was ended.
type Ended struct {
	// IDs are single sessions, the oldest first.
	IDs []string
	// UpTo ends all sessions whose ids are not greater.
	UpTo string
}

// Has says whether a session is ended.
func (e *Ended) Has(id string) bool {
	return id <= e.UpTo || slices.Contains(e.IDs, id)
}

// Add ends sessions, and says whether that changed anything. Ids of sessions whose time is over whatever
// their server's policy was are forgotten.
func (e *Ended) Add(now time.Time, limit int, ids ...string) bool {
	next := Ended{UpTo: e.UpTo}
	forgotten := lowestID(now.Add(-MaxTTL - time.Hour))
	for _, id := range slices.Concat(e.IDs, ids) {
		if id > e.UpTo && id >= forgotten {
			next.IDs = append(next.IDs, id)
		}
	}
	slices.Sort(next.IDs)
	next.IDs = slices.Compact(next.IDs)
	if over := len(next.IDs) - limit; over > 0 {
		next.UpTo = next.IDs[over-1]
		next.IDs = slices.Clone(next.IDs[over:])
	}
	changed := next.UpTo != e.UpTo || !slices.Equal(next.IDs, e.IDs)
	*e = next
	return changed
}

// MaxTTL is the longest that a session lasts (RelayServer spec.session.ttl).
const MaxTTL = 168 * time.Hour
