package password

import (
	"crypto/sha512"
	"crypto/subtle"
	"errors"
	"fmt"
	"strings"

	"github.com/go-crypt/x/crypt"
)

const (
	minRounds      = 5000
	maxRounds      = 200_000
	maxCryptSalt   = 16
	cryptKeyText   = 86
	sha512Memory   = 4 << 10
	cryptAlphabet  = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	cryptLastChars = "./01" // the last character holds two bits only
)

type sha512Hash struct {
	rounds int
	salt   []byte
	key    string
}

// parseSHA512Crypt reads what follows $6$: an optional rounds=N$, the salt, $ and the key. The standard
// cuts longer salts and moves other rounds into its bounds without a word; here they are refused.
func parseSHA512Crypt(text string) (scheme, error) {
	rounds := minRounds
	if first, rest, ok := strings.Cut(text, "$"); ok && strings.HasPrefix(first, "rounds=") {
		n, err := parameter("sha512-crypt", first, "rounds", minRounds, maxRounds)
		if err != nil {
			return nil, err
		}
		rounds, text = n, rest
	}
	salt, key, _ := strings.Cut(text, "$")
	if len(salt) < 1 || len(salt) > maxCryptSalt || !onlyFrom(cryptAlphabet, salt) {
		return nil, fmt.Errorf("sha512-crypt salt must have 1 to %d characters of ./0-9A-Za-z", maxCryptSalt)
	}
	if len(key) != cryptKeyText || !onlyFrom(cryptAlphabet, key) || !onlyFrom(cryptLastChars, key[cryptKeyText-1:]) {
		return nil, errors.New("sha512-crypt key must be the 86 characters that encode 64 bytes")
	}
	return &sha512Hash{rounds: rounds, salt: []byte(salt), key: key}, nil
}

func onlyFrom(alphabet, text string) bool {
	return strings.Trim(text, alphabet) == ""
}

func (h *sha512Hash) algorithm() Algorithm { return SHA512Crypt }

func (h *sha512Hash) memoryBytes() int64 { return sha512Memory }

func (h *sha512Hash) match(input []byte, _ *arena) bool {
	key := crypt.KeySHACrypt(sha512.New, input, h.salt, h.rounds)
	return subtle.ConstantTimeCompare(key, []byte(h.key)) == 1
}
