// Package timedid makes the ids of what happens at a time: attempts, sessions. It owns what is in them. It must not
// remember an id that it made: one that tells of the next could be guessed, and who makes ids would wait for each other.
package timedid

import (
	"crypto/rand"
	"time"

	"github.com/oklog/ulid/v2"
)

// New is a ULID, 26 characters: the time in milliseconds, and 80 random bits.
func New(at time.Time) string {
	var id ulid.ULID
	_ = id.SetTime(ulid.Timestamp(at)) // fails after the year 10889
	_, _ = rand.Read(id[6:])           // crypto/rand.Read never fails
	return id.String()
}
