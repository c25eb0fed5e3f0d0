package extauthz

import "github.com/tegata-dev/tegata/internal/bearer"

// shown is what a request shows for itself.
type shown struct {
	// session says that a session's token is shown; it is empty when it is shown in a way that cannot be read.
	session bool
	token   []byte
	// login says that a login name and a password are.
	login bool
}

// credential finds what a request shows. A bearer token counts before the cookie, which browsers send whether or
// not the program that they run wants it; a cookie counts before Basic, which costs a hash.
func (r *request) credential() shown {
	value, found, several := r.only(authorization)
	if several {
		return shown{session: true}
	}
	if found {
		if token, ok := bearer.Token(value); ok {
			return shown{session: true, token: token}
		}
	}
	s := shown{login: found && bearer.IsBasic(value)}
	for i := range r.headers {
		if r.headers[i].name != cookie {
			continue
		}
		if token, ok := bearer.Cookie(r.headers[i].value); ok {
			s.session, s.token = true, token
			break
		}
	}
	return s
}
