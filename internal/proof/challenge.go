package proof

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"sync"
	"time"
)

const (
	// Lifetime is how long a challenge is good: long enough for a person to touch a sensor.
	Lifetime = time.Minute
	// maxUsed bounds how many used challenges are remembered in a lifetime. Beyond it none is accepted. A
	// challenge is used only once a password was hashed for it, so that no machine gets near.
	maxUsed = 1 << 16

	keyBytes    = 32
	randomBytes = 16
	expireBytes = 8
	tagBytes    = 16
)

// challengeID is the random part of a nonce.
type challengeID [randomBytes]byte

// challenges makes nonces that prove themselves to be its own: random, expiry, and an HMAC of both and the
// audience under a key that lives as long as the process. Only used ones are remembered.
type challenges struct {
	key [keyBytes]byte
	now func() time.Time
	// started is what expiry is counted from: by the monotonic clock, which nobody sets.
	started time.Time

	mu sync.Mutex
	// used has those of this lifetime, older those of the one before. Each is remembered for one lifetime at
	// least, and has expired by then.
	used, older map[challengeID]struct{}
	turned      time.Time
}

func newChallenges(now func() time.Time) *challenges {
	c := &challenges{now: now, started: now(), used: map[challengeID]struct{}{}}
	c.turned = c.started
	_, _ = rand.Read(c.key[:]) // crypto/rand.Read never fails
	return c
}

func (c *challenges) make(audience string) (nonce string, expire time.Time) {
	now := c.now()
	raw := make([]byte, randomBytes, randomBytes+expireBytes+tagBytes)
	_, _ = rand.Read(raw) // crypto/rand.Read never fails
	expire = now.Add(Lifetime)
	raw = binary.BigEndian.AppendUint64(raw, uint64(expire.Sub(c.started)))
	raw = append(raw, c.tag(raw, audience)...)
	return base64.RawURLEncoding.EncodeToString(raw), expire
}

func (c *challenges) tag(message []byte, audience string) []byte {
	mac := hmac.New(sha256.New, c.key[:])
	mac.Write([]byte("tegata challenge v1\x00"))
	mac.Write(message) // of fixed length
	mac.Write([]byte(audience))
	return mac.Sum(nil)[:tagBytes]
}

// open reads a nonce of its own that has not expired.
func (c *challenges) open(nonce, audience string) (challengeID, error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(nonce)
	if err != nil || len(raw) != randomBytes+expireBytes+tagBytes {
		return challengeID{}, ErrChallenge
	}
	message, tag := raw[:randomBytes+expireBytes], raw[randomBytes+expireBytes:]
	if !hmac.Equal(tag, c.tag(message, audience)) {
		return challengeID{}, ErrChallenge
	}
	expire := time.Duration(binary.BigEndian.Uint64(message[randomBytes:]))
	if c.now().Sub(c.started) >= expire {
		return challengeID{}, ErrExpired
	}
	return challengeID(message[:randomBytes]), nil
}

// use accepts a nonce once. It looks at the expiry itself: what has expired is forgotten.
func (c *challenges) use(nonce, audience string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	id, err := c.open(nonce, audience)
	if err != nil {
		return err
	}
	c.turn()
	if _, again := c.used[id]; again {
		return ErrUsed
	}
	if _, again := c.older[id]; again {
		return ErrUsed
	}
	if len(c.used) >= maxUsed {
		return ErrFull
	}
	c.used[id] = struct{}{}
	return nil
}

// turn forgets what has expired.
func (c *challenges) turn() {
	now := c.now()
	switch passed := now.Sub(c.turned); {
	case passed >= 2*Lifetime:
		c.used, c.older = map[challengeID]struct{}{}, nil
	case passed >= Lifetime:
		c.used, c.older = map[challengeID]struct{}{}, c.used
	default:
		return
	}
	c.turned = now
}
