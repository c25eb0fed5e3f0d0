package password

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// Algorithm names how a hash was made.
type Algorithm string

// The algorithms that are supported.
const (
	Argon2id    Algorithm = "argon2id"
	Bcrypt      Algorithm = "bcrypt"
	SHA512Crypt Algorithm = "sha512-crypt"
)

// Hash is a password hash that Parse or New has accepted. It is immutable. The zero Hash stands for no
// credential: checking a password against it costs as much as against any other, and never succeeds.
//
// However it is printed, logged or marshalled, it says only its algorithm; Encoded is the one way to
// the hash itself.
type Hash struct {
	// Comparing the pointers would be wrong: Equal compares the hashes.
	_ [0]func()
	// A pointer, because fmt does not call String on the unexported fields of a struct that somebody
	// prints, and would show a string; of a pointer inside a struct it shows the address.
	encoded *string
}

// wrap keeps a copy, so that a Hash does not hold on to the whole Secret that it was cut out of.
func wrap(encoded string) Hash {
	own := strings.Clone(encoded)
	return Hash{encoded: &own}
}

// IsZero says whether h stands for no credential.
func (h Hash) IsZero() bool { return h.encoded == nil }

// Encoded returns the hash in PHC or crypt format, empty for the zero Hash. It is a secret: it belongs
// where credentials are stored and nowhere else.
func (h Hash) Encoded() string {
	if h.encoded == nil {
		return ""
	}
	return *h.encoded
}

// Equal says whether the two are the same hash: same algorithm, parameters, salt and key.
func (h Hash) Equal(other Hash) bool {
	return subtle.ConstantTimeCompare([]byte(h.Encoded()), []byte(other.Encoded())) == 1
}

// Algorithm returns how the hash was made, empty for the zero Hash.
func (h Hash) Algorithm() Algorithm {
	if h.encoded == nil {
		return ""
	}
	a, _ := algorithmOf(*h.encoded)
	return a
}

// MemoryBytes returns the working memory that one check against h takes.
func (h Hash) MemoryBytes() int64 {
	s, err := h.scheme()
	if err != nil {
		return defaultCost.memoryBytes()
	}
	return s.memoryBytes()
}

// scheme fails for the zero Hash only: everything else has been parsed before.
func (h Hash) scheme() (scheme, error) { return parse(h.Encoded()) }

// String returns the algorithm, never the hash.
func (h Hash) String() string {
	if h.encoded == nil {
		return "[no password hash]"
	}
	return "[redacted " + string(h.Algorithm()) + " hash]"
}

// GoString returns the algorithm, never the hash.
func (h Hash) GoString() string { return h.String() }

// Format writes the algorithm whatever the verb: %x and %d would otherwise reach the bytes.
func (h Hash) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, h.String()) }

// MarshalText returns the algorithm, never the hash. It covers JSON, YAML and XML too.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// LogValue returns the algorithm, never the hash.
func (h Hash) LogValue() slog.Value { return slog.StringValue(h.String()) }

// Mark tells hashes apart without telling anything of them: it is a digest of all of a hash, its random salt
// included.
type Mark [8]byte

// Mark is the hash's mark; the zero Hash has the zero Mark.
func (h Hash) Mark() Mark {
	if h.encoded == nil {
		return Mark{}
	}
	sum := sha256.Sum256([]byte("tegata credential v1\x00" + *h.encoded))
	return Mark(sum[:])
}
