// Package loginname decides when two login names are the same.
package loginname

import (
	"errors"
	"strings"

	"golang.org/x/text/secure/precis"
)

// MaxBytes bounds a login name as typed.
const MaxBytes = 512

// ErrInvalid says that a string is no login name.
var ErrInvalid = errors.New("not a login name: RFC 8265 UsernameCaseMapped does not permit it")

// Normalize maps the spellings of one login name to one string, by RFC 8265 UsernameCaseMapped: letters
// to lower case, full-width and half-width forms to their normal width, then NFC. Names that differ after
// it are different names. Spaces, control characters and mixed-up directions are refused.
func Normalize(typed string) (string, error) {
	if typed == "" || len(typed) > MaxBytes {
		return "", ErrInvalid
	}
	if isLowerASCII(typed) {
		return typed, nil
	}
	name, err := precis.UsernameCaseMapped.String(typed)
	if err != nil || name == "" {
		return "", ErrInvalid
	}
	return strings.Clone(name), nil
}

// isLowerASCII recognises names that normalisation leaves alone, which is nearly all of them.
func isLowerASCII(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || ('A' <= c && c <= 'Z') {
			return false
		}
	}
	return true
}
