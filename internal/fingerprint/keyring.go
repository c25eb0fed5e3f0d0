package fingerprint

import (
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/tegata-dev/tegata/internal/decision"
)

// Layout of the Secret <server>-keys. A key's id is part of every digest made under it, so that a new
// key can be made current while devices bound under an older one stay recognised.
const (
	keyPrefix  = "fingerprint."
	currentKey = "fingerprint-current"
	keyBytes   = 32
	maxKeys    = 4
)

var keyID = regexp.MustCompile(`^[a-z0-9]{1,16}$`)

// ErrKeyring is what every error of ParseKeyring wraps. No error quotes a key.
var ErrKeyring = errors.New("invalid key Secret")

type key struct {
	id string
	// A pointer to a string, which no verb of fmt follows from inside a struct, as it would a slice.
	secret *string
}

// Keyring holds a server's fingerprint keys. It is immutable.
type Keyring struct {
	keys []key // the current one first
}

// SecretName is the name of the Secret with a server's keys.
func SecretName(server string) string { return server + "-keys" }

// NewSecretData makes what a key Secret holds for fingerprints: a key of 32 random bytes under an id.
func NewSecretData() map[string][]byte {
	id := newKeyID()
	return map[string][]byte{keyPrefix + id: randomKey(), currentKey: []byte(id)}
}

func newKeyID() string {
	b := make([]byte, 5)
	_, _ = rand.Read(b) // crypto/rand.Read never fails
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b))
}

func randomKey() []byte {
	b := make([]byte, keyBytes)
	_, _ = rand.Read(b)
	return b
}

// ParseKeyring reads a key Secret's data.
func ParseKeyring(data map[string][]byte) (*Keyring, error) {
	current := string(data[currentKey])
	if current == "" {
		return nil, fmt.Errorf("%w: no %s", ErrKeyring, currentKey)
	}
	ring := &Keyring{}
	for name, secret := range data {
		id, isKey := strings.CutPrefix(name, keyPrefix)
		if !isKey {
			continue
		}
		if !keyID.MatchString(id) || len(secret) != keyBytes {
			return nil, fmt.Errorf("%w: %s must have an id of 1 to 16 of a-z0-9 and %d bytes", ErrKeyring, name, keyBytes)
		}
		ring.keys = append(ring.keys, key{id: id, secret: new(string(secret))})
	}
	if len(ring.keys) > maxKeys {
		return nil, fmt.Errorf("%w: more than %d fingerprint keys", ErrKeyring, maxKeys)
	}
	slices.SortFunc(ring.keys, func(a, b key) int {
		if (a.id == current) != (b.id == current) {
			if a.id == current {
				return -1
			}
			return 1
		}
		return strings.Compare(a.id, b.id)
	})
	if len(ring.keys) == 0 || ring.keys[0].id != current {
		return nil, fmt.Errorf("%w: %s names a key that is not there", ErrKeyring, currentKey)
	}
	return ring, nil
}

// CurrentID is the id of the key under which new digests are made.
func (r *Keyring) CurrentID() string { return r.keys[0].id }

// Device digests a fingerprint under each key, the current one first. The zero Fingerprint identifies no
// device.
func (r *Keyring) Device(f Fingerprint) decision.Device {
	if f.value == nil {
		return decision.Device{}
	}
	digests := make([]decision.Digest, len(r.keys))
	for i, k := range r.keys {
		digests[i] = f.digest(k)
	}
	return decision.Device{Digests: digests, Kind: f.kind.Strength()}
}

// Has says whether the ring holds a key.
func (r *Keyring) Has(id string) bool {
	return slices.ContainsFunc(r.keys, func(k key) bool { return k.id == id })
}
