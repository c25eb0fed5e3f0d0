package password

import (
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

const (
	minMemory = 7 << 10   // KiB
	maxMemory = 128 << 10 // KiB
	maxPasses = 16
	maxWork   = 1 << 18 // KiB times passes: 256 MiB written in all
	maxLanes  = 4

	minSalt, maxSalt = 8, 64
	minKey, maxKey   = 16, 64

	newSalt, newKey = 16, 32
)

// argonCost is what an argon2id hash costs.
type argonCost struct {
	memory uint32 // KiB
	passes uint32
	lanes  uint32
}

// defaultCost is the first recommendation of OWASP's password storage cheat sheet for servers.
var defaultCost = argonCost{memory: 19456, passes: 2, lanes: 1}

func (c argonCost) memoryBytes() int64 { return int64(c.memory) << 10 }

type argon2idHash struct {
	argonCost
	salt, key []byte
}

// parseArgon2id reads what follows $argon2id$: v=19$m=,t=,p=$salt$key.
func parseArgon2id(text string) (scheme, error) {
	parts := strings.Split(text, "$")
	if parts[0] != "v=19" {
		return nil, errors.New("argon2id version must be given as v=19: older versions are not supported")
	}
	if len(parts) != 4 {
		return nil, errors.New("argon2id hash must have the parts version, parameters, salt and key")
	}
	cost, err := parseArgonCost(parts[1])
	if err != nil {
		return nil, err
	}
	salt, err := decode("argon2id salt", parts[2], base64.RawStdEncoding, minSalt, maxSalt)
	if err != nil {
		return nil, err
	}
	key, err := decode("argon2id key", parts[3], base64.RawStdEncoding, minKey, maxKey)
	if err != nil {
		return nil, err
	}
	return &argon2idHash{argonCost: cost, salt: salt, key: key}, nil
}

func parseArgonCost(text string) (argonCost, error) {
	parts := strings.Split(text, ",")
	if len(parts) != 3 {
		return argonCost{}, errors.New("argon2id parameters must be m=,t=,p= and nothing else")
	}
	m, err := parameter("argon2id", parts[0], "m", minMemory, maxMemory)
	if err != nil {
		return argonCost{}, fmt.Errorf("%w (KiB of memory)", err)
	}
	t, err := parameter("argon2id", parts[1], "t", 1, maxPasses)
	if err != nil {
		return argonCost{}, fmt.Errorf("%w (passes)", err)
	}
	p, err := parameter("argon2id", parts[2], "p", 1, maxLanes)
	if err != nil {
		return argonCost{}, fmt.Errorf("%w (lanes)", err)
	}
	if m*t > maxWork {
		return argonCost{}, fmt.Errorf("argon2id m times t must be at most %d (KiB of memory times passes)", maxWork)
	}
	return argonCost{memory: uint32(m), passes: uint32(t), lanes: uint32(p)}, nil
}

func (h *argon2idHash) algorithm() Algorithm { return Argon2id }

func (h *argon2idHash) encode() string {
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=19$m=%d,t=%d,p=%d$%s$%s",
		h.memory, h.passes, h.lanes, b64.EncodeToString(h.salt), b64.EncodeToString(h.key))
}

func (h *argon2idHash) match(input []byte, mem *arena) bool {
	key := argon2idKey(mem, input, h.salt, h.argonCost, len(h.key))
	return subtle.ConstantTimeCompare(key, h.key) == 1
}
