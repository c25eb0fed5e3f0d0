// Package bearer finds the credential that a person's HTTP request shows: a session's token, as a bearer token
// or in a cookie, or a login name and a password.
//
// It owns the name of the cookie and how it is set, so that every listener that gateways ask reads the same
// credential out of the same request. It must not judge a credential, nor keep one.
package bearer

import (
	"encoding/base64"
	"fmt"
	"strings"
	"time"
)

// CookieName is the name of the cookie that holds a session's token. Browsers take a name that begins so only
// from the host itself, over TLS and for all of its paths (RFC 6265bis, section 4.1.3).
const CookieName = "__Host-tegata-session"

// Text is a header's value, whichever way a listener holds it.
type Text interface{ ~string | ~[]byte }

// Token is the token in the value of Authorization, when its scheme is Bearer (RFC 6750, section 2.1). It is
// empty where there is none: that is no token of anybody's, but a credential was shown.
func Token[T Text](authorization T) (token T, ok bool) { return afterScheme(authorization, "bearer") }

// IsBasic says whether the scheme is Basic.
func IsBasic[T Text](authorization T) bool {
	_, ok := afterScheme(authorization, "basic")
	return ok
}

// maxBasicBytes bounds what is decoded.
const maxBasicBytes = 2 << 10

// Basic is the login name and the password in the value of Authorization, when its scheme is Basic (RFC 7617).
// They are empty where they cannot be read: a credential was shown all the same.
func Basic(authorization string) (user, password string, ok bool) {
	encoded, ok := afterScheme(authorization, "basic")
	if !ok || len(encoded) > maxBasicBytes {
		return "", "", ok
	}
	decoded, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return "", "", true
	}
	user, password, _ = strings.Cut(string(decoded), ":")
	return user, password, true
}

// afterScheme is what follows a scheme, which is in lower case here and in any case there.
func afterScheme[T Text](authorization T, scheme string) (rest T, ok bool) {
	v := trim(authorization)
	if len(v) < len(scheme) || (len(v) > len(scheme) && v[len(scheme)] != ' ') {
		return rest, false
	}
	for i := range len(scheme) {
		if lower(v[i]) != scheme[i] {
			return rest, false
		}
	}
	return trim(v[len(scheme):]), true
}

// Cookie is the token in the value of a Cookie header; the first, when there are several, as browsers never
// send. An empty one is none.
func Cookie[T Text](header T) (token T, ok bool) {
	start, end := find(header)
	if start < 0 {
		return token, false
	}
	token = trim(header[start:end])[len(CookieName)+1:]
	return token, len(token) > 0
}

// WithoutCookie is the value of a Cookie header without the session's token, for those behind the gateway. It
// is empty when nothing else is left.
func WithoutCookie(header string) string {
	if start, _ := find(header); start < 0 {
		return header
	}
	var rest []string
	for pair := range strings.SplitSeq(header, ";") {
		if pair = trim(pair); pair != "" && !isSession(pair) {
			rest = append(rest, pair)
		}
	}
	return strings.Join(rest, "; ")
}

// find says where the session's cookie stands, from the semicolon before it to the one after it; the start is
// negative when it is not there.
func find[T Text](header T) (start, end int) {
	for start < len(header) {
		end = start
		for end < len(header) && header[end] != ';' {
			end++
		}
		if isSession(trim(header[start:end])) {
			return start, end
		}
		start = end + 1
	}
	return -1, -1
}

func isSession[T Text](pair T) bool {
	return len(pair) > len(CookieName) && pair[len(CookieName)] == '=' && string(pair[:len(CookieName)]) == CookieName
}

// SetCookie is the value of Set-Cookie for a session that lasts until then. Lax: a link from elsewhere leads to
// the application, as people expect, and no request from elsewhere that changes something bears the cookie.
func SetCookie(token string, now, expire time.Time) string {
	return fmt.Sprintf("%s=%s; Path=/; Max-Age=%d; Secure; HttpOnly; SameSite=Lax",
		CookieName, token, max(0, int(expire.Sub(now)/time.Second)))
}

// trim takes off the white space that HTTP allows around values.
func trim[T Text](s T) T {
	for len(s) > 0 && isSpace(s[0]) {
		s = s[1:]
	}
	for len(s) > 0 && isSpace(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return s
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' }

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
