package history

import (
	"cmp"
	"math"
	"strings"
	"time"
)

// Filter chooses records. An empty field chooses all.
type Filter struct {
	Namespace, Server string
	// User is a RelayUser's name; UserName a login name as typed.
	User, UserName string
	Program        string
	Viewer         string
	Slot           string
	Result         Result
	Reason         string
	Listener       string
	SourceAddress  string
	MACAddress     string
	Destination    string
	DeviceDigest   string
	// Since and Until bound the start: it is not before Since, and before Until.
	Since, Until time.Time
}

// Indexed says whether a Store finds the records of a filter without reading others: those of everybody or of one
// user, by program, result and reason, in a span of time.
func (f *Filter) Indexed() bool {
	rest := *f
	rest.Namespace, rest.Server, rest.User = "", "", ""
	rest.Program, rest.Result, rest.Reason = "", "", ""
	rest.Since, rest.Until = time.Time{}, time.Time{}
	return rest == Filter{}
}

// Matches says whether a record is one of the filter's.
func (f *Filter) Matches(r *Record) bool {
	start := r.Start().Time()
	return is(f.Namespace, r.Namespace) && is(f.Server, r.Server) && is(f.User, r.User) && is(f.UserName, r.UserName) &&
		is(f.Program, r.Program) && is(f.Viewer, r.Viewer) && is(f.Slot, r.Slot) && is(f.Result, r.Result) &&
		is(f.Reason, r.Reason) && is(f.Listener, r.Listener) && is(f.SourceAddress, r.SourceAddress) &&
		is(f.MACAddress, r.MACAddress) && is(f.Destination, r.Destination) && is(f.DeviceDigest, r.DeviceDigest) &&
		(f.Since.IsZero() || !start.Before(f.Since)) && (f.Until.IsZero() || start.Before(f.Until))
}

func is[T ~string](want, got T) bool { return want == "" || want == got }

// Query asks for a page of records, newest first.
type Query struct {
	Filter
	// Before is where the page begins: only records behind it are in it. The zero Position begins at the newest.
	Before Position
	// Limit is how many records the page has at most, between 1 and MaxPage.
	Limit int
}

// MaxPage bounds Query.Limit and UsageQuery.Limit.
const MaxPage = 1000

// Page is the answer to a Query.
type Page struct {
	Records []Record
	// Next is Query.Before of the next page, zero when there is none. A page may hold fewer records than asked for,
	// even none, and have a next one: so many records are read for a page at most, whichever of them match.
	Next Position
}

// Position is a place between two records: behind the one of this ID and Namespace. Records come newest first, and
// those of one ID, which each namespace may have, in the reverse order of their namespaces. Without a Namespace it is
// behind all of the ID.
type Position struct {
	ID        ID
	Namespace string
}

// PositionOf is the place behind a record.
func PositionOf(r *Record) Position { return Position{r.ID, r.Namespace} }

// Compare is negative when p comes after q in a list.
func (p Position) Compare(q Position) int {
	return cmp.Or(p.ID.Compare(q.ID), strings.Compare(p.Namespace, q.Namespace))
}

// Usage is what the records of a user come to. It covers the records that are kept.
type Usage struct {
	Namespace, Server, User string
	// Connected is for how long the user has been connected in all (累計接続時間).
	Connected time.Duration
	// Attempts are all, Failures those that were denied.
	Attempts, Failures uint64
	// First and Last are when the oldest and the newest of the attempts began.
	First, Last Millis
}

// AddTime is a sum of two times of connections, and the longest time there is when that is more: a server may tell of
// thousands of connections that lasted for weeks, and what it tells must not have a total turn negative.
func AddTime(a, b time.Duration) time.Duration {
	switch sum := a + b; {
	case a > 0 && b > 0 && sum < 0:
		return math.MaxInt64
	case a < 0 && b < 0 && sum >= 0:
		return math.MinInt64
	default:
		return sum
	}
}

// TimeOf is so many milliseconds, bounded in the same way.
func TimeOf(milliseconds int64) time.Duration {
	const most = math.MaxInt64 / int64(time.Millisecond)
	switch {
	case milliseconds > most:
		return math.MaxInt64
	case milliseconds < -most:
		return math.MinInt64
	}
	return time.Duration(milliseconds) * time.Millisecond
}

// UsageQuery asks for the usage of users, in the order of Namespace, User and Server.
type UsageQuery struct {
	// Namespace, Server and User choose; an empty one chooses all.
	Namespace, Server, User string
	// After is where the page begins: only what comes after it in the order is in it. The zero value begins at the
	// first.
	After UsageKey
	Limit int
}

// UsageKey identifies a Usage.
type UsageKey struct{ Namespace, User, Server string }

// UsagePage is the answer to a UsageQuery.
type UsagePage struct {
	Usages []Usage
	// Next is UsageQuery.After of the next page, zero when there is none.
	Next UsageKey
}
