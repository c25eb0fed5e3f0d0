package session

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strings"
)

// Traffic is how many bytes a gateway says that a connection has carried, from the person and to them.
type Traffic struct{ Received, Sent uint64 }

// NoteTraffic keeps what a gateway tells of the session's connection.
func (l *Live) NoteTraffic(t Traffic) {
	l.received.Store(t.Received)
	l.sent.Store(t.Sent)
}

// Traffic is what was last told of the session's connection; zero when nothing was.
func (l *Live) Traffic() Traffic { return Traffic{Received: l.received.Load(), Sent: l.sent.Load()} }

// Tag is what a gateway is given along with a session's id, and nobody makes without a key of the server: it shows
// any of its sidecars that the session is that user's and was handed to that gateway. Empty while no keys are known.
// It opens nothing.
func (s *Sessions) Tag(uid, id, gateway string) string {
	keys := s.Keys()
	if keys == nil {
		return ""
	}
	return keys.current + "." + keys.tag(keys.current, uid, id, gateway)
}

// Tagged says whether a tag is the one of that session, user and gateway.
func (s *Sessions) Tagged(uid, id, gateway, tag string) bool {
	keys := s.Keys()
	key, mac, ok := strings.Cut(tag, ".")
	if !ok || keys == nil || keys.byID[key] == nil {
		return false
	}
	return hmac.Equal([]byte(mac), []byte(keys.tag(key, uid, id, gateway)))
}

// tagBytes are enough that nobody finds a tag by trying.
const tagBytes = 16

// tag has zeros in what it signs, as no token has: neither is ever taken for the other.
func (k *Keys) tag(key, uid, id, gateway string) string {
	mac := hmac.New(sha256.New, []byte(*k.byID[key]))
	mac.Write([]byte("tegata session tag v1\x00" + uid + "\x00" + id + "\x00" + gateway))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:tagBytes])
}

// EndID ends a session of a user that may never have been seen here: it is kept as ended, and made known to the
// other sidecars, unless it was ended before. It says whether that ended anything. Of one that was never seen,
// observers are told no more than whose it was and when it began.
func (s *Sessions) EndID(uid, id string, cause Cause) bool {
	// What cannot be the id of a session that began would push those of others out of what is kept.
	begin := beginOf(id)
	if begin.IsZero() || begin.After(s.Now().Add(maxSkew)) || id != strings.ToUpper(id) {
		return false
	}
	s.mu.Lock()
	u := s.users[uid]
	if u == nil {
		u = &user{live: map[string]*Live{}}
		s.users[uid] = u
	}
	l := u.live[id]
	if l == nil && u.ended.Has(id) {
		s.mu.Unlock()
		return false
	}
	if l != nil {
		s.drop(u, l, cause)
	} else {
		u.ended.Add(s.Now(), maxEnded, id)
	}
	s.mu.Unlock()
	if l != nil {
		s.tell(l, cause)
		return true
	}
	s.tell(&Live{Session: Session{ID: id, UID: uid, Begin: begin}}, cause)
	return true
}
