package session

import (
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Layout, in the Secret <server>-keys, of the keys that sign sessions. A key's id is in every token that it
// signed, so that a new key can be made current while sessions signed with older ones stay valid.
const (
	keyPrefix     = "session."
	createdPrefix = "session-created."
	currentKey    = "session-current"

	keyBytes = 32
	maxKeys  = 16
)

var keyID = regexp.MustCompile(`^[a-z0-9]{1,16}$`)

// ErrKeys is what every error about the keys wraps. No error quotes a key.
var ErrKeys = errors.New("invalid session keys")

// Keys sign sessions and check their signatures. They do not change.
type Keys struct {
	current string
	// A pointer to each, which no verb of fmt follows from inside a struct.
	byID map[string]*string
}

// ParseKeys reads the session keys of a key Secret's data.
func ParseKeys(data map[string][]byte) (*Keys, error) {
	keys := &Keys{current: string(data[currentKey]), byID: map[string]*string{}}
	for name, secret := range data {
		id, isKey := strings.CutPrefix(name, keyPrefix)
		if !isKey {
			continue
		}
		if !keyID.MatchString(id) || len(secret) != keyBytes {
			return nil, fmt.Errorf("%w: %s must have an id of 1 to 16 of a-z0-9 and %d bytes", ErrKeys, name, keyBytes)
		}
		keys.byID[id] = new(string(secret))
	}
	if len(keys.byID) > maxKeys {
		return nil, fmt.Errorf("%w: more than %d", ErrKeys, maxKeys)
	}
	if keys.byID[keys.current] == nil {
		return nil, fmt.Errorf("%w: %s names a key that is not there", ErrKeys, currentKey)
	}
	return keys, nil
}

// NewKeys are the first keys of a server.
func NewKeys(now time.Time) map[string][]byte {
	keys := map[string][]byte{}
	id := addKey(keys, now)
	keys[currentKey] = []byte(id)
	return keys
}

// Rotation says when keys come and go.
type Rotation struct {
	// Every is the age at which a key is replaced. If that is so short that the keys of Keep would be too
	// many, it is longer.
	Every time.Duration
	// Overlap is how long a new key is known before it signs anything: the time within which every sidecar
	// that still admits people has read it.
	Overlap time.Duration
	// Keep is how long a key is kept once another signs: longer than any session lasts.
	Keep time.Duration
}

// Rotate is what is to be changed in a key Secret's data at a time, nil values being removed, and how long
// until something is to be changed again. Applied, it ends no session. Keys whose age is not known count as
// made now.
func Rotate(data map[string][]byte, now time.Time, r Rotation) (changes map[string][]byte, wait time.Duration) {
	changes = map[string][]byte{}
	keys := ages(data, now, changes)
	current := slices.IndexFunc(keys, func(k agedKey) bool { return k.id == string(data[currentKey]) })
	if current < 0 {
		// Nothing can have been signed with what nobody calls current.
		changes[currentKey] = []byte(addKey(changes, now))
		return changes, r.Every
	}
	newest := keys[len(keys)-1]
	switch {
	case newest.id == keys[current].id && now.Sub(newest.created) >= r.Every && len(keys) < maxKeys:
		addKey(changes, now)
		return changes, r.Overlap
	case newest.id != keys[current].id && now.Sub(newest.created) >= r.Overlap:
		changes[currentKey] = []byte(newest.id)
		current = len(keys) - 1
	}
	wait = untilNext(keys, current, now, r)
	for _, k := range keys[:current] {
		// A key stopped signing when the one after it had been known for the overlap.
		if left := keys[current].created.Add(r.Overlap + r.Keep).Sub(now); left > 0 {
			wait = min(wait, left)
			continue
		}
		changes[keyPrefix+k.id], changes[createdPrefix+k.id] = nil, nil
	}
	return changes, wait
}

// agedKey is a key and when it was made.
type agedKey struct {
	id      string
	created time.Time
}

// ages are the keys, the oldest first. It notes the age of those that have none.
func ages(data map[string][]byte, now time.Time, changes map[string][]byte) []agedKey {
	var keys []agedKey
	for _, name := range slices.Sorted(maps.Keys(data)) {
		id, isKey := strings.CutPrefix(name, keyPrefix)
		if !isKey {
			continue
		}
		created, err := time.Parse(time.RFC3339, string(data[createdPrefix+id]))
		if err != nil || created.After(now) {
			created = now
			changes[createdPrefix+id] = []byte(now.UTC().Format(time.RFC3339))
		}
		keys = append(keys, agedKey{id: id, created: created})
	}
	slices.SortStableFunc(keys, func(a, b agedKey) int { return a.created.Compare(b.created) })
	return keys
}

func untilNext(keys []agedKey, current int, now time.Time, r Rotation) time.Duration {
	newest := keys[len(keys)-1]
	switch {
	case newest.id != keys[current].id:
		return newest.created.Add(r.Overlap).Sub(now)
	case len(keys) >= maxKeys:
		return r.Keep
	}
	return newest.created.Add(r.Every).Sub(now)
}

func addKey(changes map[string][]byte, now time.Time) (id string) {
	secret := make([]byte, keyBytes)
	_, _ = rand.Read(secret) // crypto/rand.Read never fails
	suffix := make([]byte, 5)
	_, _ = rand.Read(suffix)
	id = strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(suffix))
	changes[keyPrefix+id] = secret
	changes[createdPrefix+id] = []byte(now.UTC().Format(time.RFC3339))
	return id
}
