// Package session issues, checks and ends sessions: what a login that was admitted is good for until its
// time is over.
//
// It owns the token, its signature and the count of a user's sessions. Whether a session is still good is
// not in the token: package authn decides that anew for each request, on the user's current state. It must
// not learn a password or a raw fingerprint, and a token never reaches a log, an error or a status.
package session

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/tegata-dev/tegata/internal/decision"
	"github.com/tegata-dev/tegata/internal/password"
	"github.com/tegata-dev/tegata/internal/timedid"
)

// ErrInvalid says that a string is no token of this server.
var ErrInvalid = errors.New("not a session of this server")

// ErrNoKeys says that no session can begin or be checked, because the server's keys are not known.
var ErrNoKeys = errors.New("session keys are not known")

// Session is what is known of a session from its token. It does not change.
type Session struct {
	// ID is a ULID: its first ten characters are the time of Begin, in milliseconds.
	ID string
	// UID is the RelayUser's.
	UID     string
	Program decision.Program
	Viewer  decision.Viewer
	MAC     decision.MAC
	// Device is the device that logged in, by its current digest; the zero value for none.
	Device decision.Device
	// BindingID is the binding that the device was admitted by, empty for none.
	BindingID string
	// Credential marks the password that was given.
	Credential password.Mark
	// Begin has milliseconds, Expire seconds.
	Begin, Expire time.Time
}

// Slot is the slot that the session is about, SlotNone when it binds no device.
func (s *Session) Slot() decision.Slot {
	attempt := decision.Attempt{Program: s.Program, Viewer: s.Viewer}
	return attempt.Slot()
}

// NewID makes the id of a session that begins at a time.
func NewID(begin time.Time) string { return timedid.New(begin) }

// lowestID is not greater than any id of a session that begins at that time or later.
func lowestID(begin time.Time) string {
	var id ulid.ULID
	_ = id.SetTime(ulid.Timestamp(begin)) // fails after the year 10889
	return id.String()
}

// beginOf reads the time out of an id; the zero time of what is none.
func beginOf(id string) time.Time {
	parsed, err := ulid.ParseStrict(id)
	if err != nil || parsed.String() != id {
		return time.Time{} // it has other spellings, which would compare differently
	}
	return ulid.Time(parsed.Time())
}

// Live is a session that this sidecar knows to be used.
type Live struct {
	// Memo is the decider's, to remember what it decided on last. It dies with what is known of the token.
	// What each request looks at comes first, side by side: with many users all of it is far away in memory.
	Memo atomic.Value

	lastSeen atomic.Int64 // nanoseconds since the epoch
	live     atomic.Bool  // counted among the user's
	ended    atomic.Bool

	Session
	// Details are empty for a session that began at another sidecar.
	Details Details

	received, sent atomic.Uint64
}

// Details are what is told of a session beside what is decided on.
type Details struct {
	// User is the RelayUser's name.
	User        string
	Listener    string
	Source      string
	Destination string
}

// Ended says whether the session was ended before its time, as far as this sidecar has been told.
func (l *Live) Ended() bool { return l.ended.Load() }

func (l *Live) seen(at time.Time) { l.lastSeen.Store(at.UnixNano()) }

// LastSeen is when the session was last used.
func (l *Live) LastSeen() time.Time { return time.Unix(0, l.lastSeen.Load()) }
