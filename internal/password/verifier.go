package password

import (
	"context"
	"crypto/rand"
	"fmt"
	"runtime"
	"time"
)

// Options of a Verifier. The zero value has usable defaults.
type Options struct {
	// Slots is how many hashes are computed at once. Default: the usable cores less one, at least one,
	// so that a flood of logins leaves a core for everything else.
	Slots int
	// Queue is how many ordinary attempts may wait for a slot. Default: 16 for each slot, which is about
	// half a second of hashes of the default parameters. Negative: none may.
	Queue int
	// PreferredQueue is how many preferred attempts may wait besides. Default: 32 for each slot.
	// Negative: none may.
	PreferredQueue int
	// Metrics to report to; none when nil.
	Metrics *Metrics
}

func (o Options) withDefaults() Options {
	if o.Slots < 1 {
		o.Slots = max(1, runtime.GOMAXPROCS(0)-1)
	}
	if o.Queue == 0 {
		o.Queue = 16 * o.Slots
	}
	if o.PreferredQueue == 0 {
		o.PreferredQueue = 32 * o.Slots
	}
	return o
}

// Verifier checks passwords, and makes hashes, never more than its slots at once. It is safe for
// concurrent use and needs no closing.
type Verifier struct {
	gate    *gate
	arenas  arenas
	metrics *Metrics
	// decoy is computed where there is no hash to check against. Nobody knows a password for it.
	decoy Hash
	// match is scheme.match, but for tests that count and hold hashes.
	match func(s scheme, input []byte, mem *arena) bool
}

// NewVerifier returns a Verifier. Its memory for hashing comes with the first checks.
func NewVerifier(o Options) *Verifier {
	o = o.withDefaults()
	decoy := argon2idHash{argonCost: defaultCost, salt: randomBytes(newSalt), key: randomBytes(newKey)}
	return &Verifier{
		gate:    newGate(o.Slots, [priorities]int{Ordinary: o.Queue, Preferred: o.PreferredQueue}, o.Metrics),
		metrics: o.Metrics,
		decoy:   wrap(decoy.encode()),
		match:   scheme.match,
	}
}

// Verify says whether password is the one that h was made of. It computes one hash whatever the answer,
// and for the zero Hash too, which nothing matches. An error means that no hash was computed: ErrBusy at
// once when the queue of this priority is full, or the context's error when it ended the wait. A hash
// that has begun is not interrupted.
func (v *Verifier) Verify(ctx context.Context, h Hash, password []byte, p Priority) (bool, error) {
	if err := v.gate.acquire(ctx, p); err != nil {
		return false, err
	}
	defer v.gate.release()
	known := !h.IsZero()
	if !known {
		h = v.decoy
	}
	s, err := h.scheme()
	if err != nil {
		return false, fmt.Errorf("read password hash: %w", err)
	}
	input, possible := candidate(password)
	match := false
	v.compute(s.algorithm(), func(mem *arena) { match = v.match(s, input, mem) })
	return match && possible && known, nil
}

// compute runs f in one of the slots, which the caller has, with the slot's memory.
func (v *Verifier) compute(algorithm Algorithm, f func(*arena)) {
	mem := v.arenas.get()
	defer v.arenas.put(mem)
	defer v.metrics.computes(algorithm, time.Now())()
	aside(func(yield func()) {
		mem.yield = yield
		f(mem)
	})
}

// Hash makes a hash of a new password with the default parameters and a fresh salt, as New does, in one
// of the slots of v, for which it waits as an ordinary attempt. Errors are those of CheckPlain and Verify.
func (v *Verifier) Hash(ctx context.Context, password []byte) (Hash, error) {
	input, err := normalisePlain(password)
	if err != nil {
		return Hash{}, err
	}
	if err := v.gate.acquire(ctx, Ordinary); err != nil {
		return Hash{}, err
	}
	defer v.gate.release()
	var h Hash
	v.compute(Argon2id, func(mem *arena) { h = hashWith(mem, input) })
	return h, nil
}

// New makes a hash of a new password with the default parameters (argon2id, m=19456, t=2, p=1) and a
// fresh salt. Errors are those of CheckPlain. It takes 19 MiB of memory of its own; who makes many uses
// Verifier.Hash.
func New(password []byte) (Hash, error) {
	input, err := normalisePlain(password)
	if err != nil {
		return Hash{}, err
	}
	mem := &arena{}
	defer mem.free()
	return hashWith(mem, input), nil
}

func hashWith(mem *arena, input []byte) Hash {
	h := argon2idHash{argonCost: defaultCost, salt: randomBytes(newSalt)}
	h.key = argon2idKey(mem, input, h.salt, h.argonCost, newKey)
	return wrap(h.encode())
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails: it ends the program instead
	return b
}
