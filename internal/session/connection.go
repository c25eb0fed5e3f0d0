package session

import "strings"

// Traffic is how many bytes a gateway says that a connection has carried, from the person and to them.
type Traffic struct{ Received, Sent uint64 }

// NoteTraffic keeps what a gateway tells of the session's connection.
func (l *Live) NoteTraffic(t Traffic) {
	l.received.Store(t.Received)
	l.sent.Store(t.Sent)
}

// Traffic is what was last told of the session's connection; zero when nothing was.
func (l *Live) Traffic() Traffic { return Traffic{Received: l.received.Load(), Sent: l.sent.Load()} }

// EndID ends a session of a user that may never have been seen here: it is kept as ended, and made known to the
// other sidecars, unless it was ended before. It says whether that ended anything.
func (s *Sessions) EndID(uid, id string, cause Cause) bool {
	// What cannot be the id of a session that began would push those of others out of what is kept.
	if begin := beginOf(id); begin.IsZero() || begin.After(s.Now().Add(maxSkew)) || id != strings.ToUpper(id) {
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
	if cause.told() {
		s.Keep(&Live{Session: Session{ID: id, UID: uid}})
	}
	return true
}
