package password

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// maxEncoded bounds the length of an encoded hash, in bytes. The longest that can be accepted is shorter.
const maxEncoded = 512

// scheme is a parsed hash: it can be checked, and knows what that costs.
type scheme interface {
	algorithm() Algorithm
	memoryBytes() int64
	// match computes one hash of the input, whatever the input is, and says whether it is this one.
	match(input []byte, mem *arena) bool
}

// Parse reads a hash in PHC or crypt format. What it refuses, and why, the error says without quoting
// any part of the text, which may be a secret even when it is no hash. The bounds are:
//
//   - argon2id: v=19, m 7168..131072 KiB, t 1..16, m times t at most 1 GiB, p 1..4, salt 8..64 bytes,
//     key 16..64 bytes, no key id and no associated data;
//   - bcrypt: cost 8..13;
//   - sha512-crypt: rounds 5000 (when not given) to 500000, salt 1..16 characters.
func Parse(encoded string) (Hash, error) {
	if _, err := parse(encoded); err != nil {
		return Hash{}, err
	}
	return wrap(encoded), nil
}

func parse(encoded string) (scheme, error) {
	if err := checkShape(encoded); err != nil {
		return nil, err
	}
	a, rest := algorithmOf(encoded)
	switch a {
	case Argon2id:
		return parseArgon2id(rest)
	case Bcrypt:
		return parseBcrypt(rest)
	case SHA512Crypt:
		return parseSHA512Crypt(rest)
	}
	return nil, unsupported(encoded)
}

// checkShape refuses what a person is likely to have put in the place of a hash.
func checkShape(encoded string) error {
	switch {
	case encoded == "":
		return errors.New("password hash is empty")
	case len(encoded) > maxEncoded:
		return fmt.Errorf("password hash is longer than %d bytes", maxEncoded)
	case strings.TrimSpace(encoded) != encoded:
		return errors.New("password hash begins or ends with a space or a line break: store it without one")
	case encoded[0] != '$':
		return errors.New("password hash does not begin with $: it must be in PHC or crypt format " +
			"(a password in plain text is no hash)")
	}
	return nil
}

var supported = map[string]Algorithm{
	"argon2id": Argon2id,
	"2a":       Bcrypt,
	"2b":       Bcrypt,
	"2y":       Bcrypt,
	"6":        SHA512Crypt,
}

// algorithmOf splits $id$rest. The algorithm is empty when the id is unknown.
func algorithmOf(encoded string) (a Algorithm, rest string) {
	id, rest, _ := strings.Cut(strings.TrimPrefix(encoded, "$"), "$")
	return supported[id], rest
}

// refused names well-known hashes, so that the error can: the text itself must not be quoted.
var refused = map[string]string{
	"1":             "md5-crypt",
	"2":             "bcrypt $2$",
	"2x":            "bcrypt $2x$ (made by a faulty implementation)",
	"5":             "sha256-crypt",
	"7":             "scrypt",
	"y":             "yescrypt",
	"gy":            "gost-yescrypt",
	"apr1":          "Apache md5",
	"argon2d":       "argon2d",
	"argon2i":       "argon2i",
	"bcrypt-sha256": "bcrypt-sha256",
	"pbkdf2":        "pbkdf2",
	"pbkdf2-sha256": "pbkdf2",
	"pbkdf2-sha512": "pbkdf2",
	"plaintext":     "plain text",
	"base64":        "plain text",
	"scrypt":        "scrypt",
	"sha1":          "sha1-crypt",
}

func unsupported(encoded string) error {
	id, _, _ := strings.Cut(encoded[1:], "$")
	name, ok := refused[id]
	if !ok {
		name = "this kind of hash"
	}
	return fmt.Errorf("%s is not supported: use argon2id, bcrypt ($2a$, $2b$, $2y$) or sha512-crypt ($6$)", name)
}

// number reads a decimal in its one canonical spelling. It is checked as text first, so that no size of
// number and no sign, space or leading zero gets by.
func number(name, text string, low, high int) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || strconv.Itoa(n) != text || n < low || n > high {
		return 0, fmt.Errorf("%s must be a whole number between %d and %d", name, low, high)
	}
	return n, nil
}

// parameter reads "key=number".
func parameter(name, text, key string, low, high int) (int, error) {
	value, ok := strings.CutPrefix(text, key+"=")
	if !ok {
		return 0, fmt.Errorf("%s: %s= is missing or not in its place", name, key)
	}
	return number(name+" "+key, value, low, high)
}

// decode reads unpadded base64 of low to high bytes. The decoder skips line breaks and ignores the bits
// that are left over, so two texts could be one hash: only the canonical text is taken.
func decode(name, text string, enc *base64.Encoding, low, high int) ([]byte, error) {
	if n := enc.DecodedLen(len(text)); n < low || n > high {
		return nil, fmt.Errorf("%s must have %s", name, sizes(low, high))
	}
	raw, err := enc.DecodeString(text)
	if err != nil || enc.EncodeToString(raw) != text {
		return nil, fmt.Errorf("%s is not base64 as this format spells it", name)
	}
	return raw, nil
}

func sizes(low, high int) string {
	if low == high {
		return fmt.Sprintf("%d bytes", low)
	}
	return fmt.Sprintf("%d to %d bytes", low, high)
}
