package password

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/secure/precis"
)

const (
	minPlain = 8
	maxPlain = 256
	// maxTyped bounds what is normalised: what a Mac sends decomposed is longer, never this much.
	maxTyped = 4 * maxPlain
)

// CheckPlain says whether a new password can be used: 8 to 256 bytes of UTF-8 once normalised, no control
// characters. The error tells what to change, not the password.
func CheckPlain(password []byte) error {
	_, err := normalisePlain(password)
	return err
}

func normalisePlain(password []byte) ([]byte, error) {
	if len(password) < minPlain {
		return nil, fmt.Errorf("password is shorter than %d bytes", minPlain)
	}
	if len(password) > maxTyped {
		return nil, fmt.Errorf("password is longer than %d bytes", maxPlain)
	}
	if err := checkBytes(password); err != nil {
		return nil, err
	}
	normal, err := precis.OpaqueString.Bytes(password)
	if err != nil {
		return nil, errors.New("password contains a character that RFC 8265 does not allow in passwords " +
			"(invisible, or without a meaning in Unicode)")
	}
	switch n := len(normal); {
	case n < minPlain:
		return nil, fmt.Errorf("password is shorter than %d bytes once normalised", minPlain)
	case n > maxPlain:
		return nil, fmt.Errorf("password is longer than %d bytes", maxPlain)
	}
	return normal, nil
}

// checkBytes has its own words for the mistakes that are made when a Secret is written.
func checkBytes(password []byte) error {
	switch {
	case !utf8.Valid(password):
		return errors.New("password is not valid UTF-8")
	case bytes.HasSuffix(password, []byte("\n")):
		return errors.New("password ends in a line break: store it without one")
	case bytes.ContainsFunc(password, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return errors.New("password contains a control character")
	}
	return nil
}

// standIn is hashed instead of a password that cannot be right, for the work. Its length is that of the
// longest that every algorithm takes in.
var standIn = bytes.Repeat([]byte{'-'}, maxBcryptInput)

// candidate returns what is hashed for a password that somebody sent, and whether it can be right at
// all. The rules for new passwords do not apply: an imported hash may be of a shorter one, or of one that
// the profile does not know. But a NUL may not pass: to bcrypt, a password and the same with NUL
// and itself appended are one.
func candidate(password []byte) (input []byte, possible bool) {
	if len(password) == 0 || len(password) > maxTyped || !utf8.Valid(password) || bytes.IndexByte(password, 0) >= 0 {
		return standIn, false
	}
	input, err := precis.OpaqueString.Bytes(password)
	if err != nil {
		input = password
	}
	if len(input) > maxPlain {
		return standIn, false
	}
	return input, true
}

// temporaryAlphabet has 32 characters, five bits each, none of which is taken for another: no 0, O, o, 1, l, I.
const temporaryAlphabet = "abcdefghijkmnpqrstuvwxyz23456789"

// Generate returns a temporary password of 80 random bits, in four groups for reading it out:
// xxxx-xxxx-xxxx-xxxx.
func Generate() string {
	var random [16]byte
	_, _ = rand.Read(random[:]) // never fails: it ends the program instead
	var b strings.Builder
	for i, r := range random {
		if i > 0 && i%4 == 0 {
			b.WriteByte('-')
		}
		b.WriteByte(temporaryAlphabet[int(r)%len(temporaryAlphabet)])
	}
	return b.String()
}
