package session

import (
	"crypto/sha256"
	"sync"
	"time"
	"unsafe"
)

// maxTokens bounds how many tokens are known without checking their signatures again.
const maxTokens = 1 << 17

// tokenKey is a token's SHA-256. A map of tokens would have to read a stored one, some 500 bytes that no cache
// holds when there are many; the digest of the one at hand costs less than that.
type tokenKey [sha256.Size]byte

func keyFor(token string) tokenKey {
	// Without a copy: the bytes are only read.
	return sha256.Sum256(unsafe.Slice(unsafe.StringData(token), len(token)))
}

// Cause is why a session ended.
type Cause string

// The causes.
const (
	// Logout: the person asked for it.
	Logout Cause = "Logout"
	// Replaced: newer sessions of the user took its place.
	Replaced Cause = "Replaced"
	// Expired: its time was over.
	Expired Cause = "Expired"
	// Refused: what is known of the user or the relay does not admit it any more.
	Refused Cause = "Refused"
	// Stopped: the gateway says that the connection has ended.
	Stopped Cause = "Stopped"
)

// lasts says whether the end is for good. The others are so for what is in the token, or as long as the user's
// state says so.
func (c Cause) lasts() bool { return c == Logout || c == Replaced || c == Stopped }

// told says whether the other sidecars are to hear of it. That is a write to the API server: a session that was
// replaced is none of theirs, as each has its own count, and who logs in without end must not write without end.
func (c Cause) told() bool { return c == Logout || c == Stopped }

// Observer is told of sessions that begin and end. Its methods must not block.
type Observer interface {
	Began(l *Live)
	Ended(l *Live, cause Cause, at time.Time)
}

// Options of Sessions. All are required but Observers and Now.
type Options struct {
	// Issuer names the server in its tokens, so that another's are refused even if it has the same keys.
	Issuer string
	// Keys are the current ones, nil while they are not known.
	Keys func() *Keys
	// MaxPerUser is how many sessions of one user are kept at present.
	MaxPerUser func() int
	// Keep makes an end known to the other sidecars. It must not block.
	Keep      func(l *Live)
	Observers []Observer
	// Now is the clock; time.Now when nil.
	Now func() time.Time
}

// Sessions are those of one server that this sidecar has issued or seen. It is safe for concurrent use.
type Sessions struct {
	Options

	mu     sync.Mutex
	keys   *Keys // those that checked what tokens holds
	tokens map[tokenKey]*Live
	users  map[string]*user // by UID
	count  int
}

type user struct {
	live  map[string]*Live // by id
	ended Ended
}

// New makes Sessions.
func New(o Options) *Sessions {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Sessions{Options: o, tokens: map[tokenKey]*Live{}, users: map[string]*user{}}
}

// Begin issues a session and returns it with its token. Its error is ErrNoKeys, or one of signing.
func (s *Sessions) Begin(session Session, d Details) (l *Live, token string, err error) {
	keys := s.Keys()
	if keys == nil {
		return nil, "", ErrNoKeys
	}
	if token, err = keys.sign(s.Issuer, &session); err != nil {
		return nil, "", err
	}
	l = s.know(keys, keyFor(token), &Live{Session: session, Details: d})
	s.Admit(l)
	return l, token, nil
}

// Find is the session of a token that this server has issued, whether or not it is over. Its error is
// ErrInvalid or ErrNoKeys.
func (s *Sessions) Find(token string) (*Live, error) {
	keys := s.Keys()
	if keys == nil {
		return nil, ErrNoKeys
	}
	if len(token) > maxTokenBytes {
		return nil, ErrInvalid
	}
	key := keyFor(token)
	if l := s.known(keys, key); l != nil {
		return l, nil
	}
	verified, err := keys.verify(s.Issuer, token, s.Now())
	if err != nil {
		return nil, err
	}
	return s.know(keys, key, &Live{Session: *verified}), nil
}

// known finds a token that was checked before, with keys that are still the same.
func (s *Sessions) known(keys *Keys, key tokenKey) *Live {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trust(keys)
	return s.tokens[key]
}

// trust forgets the tokens that other keys have checked. It needs s.mu.
func (s *Sessions) trust(keys *Keys) {
	if s.keys != keys {
		s.keys = keys
		clear(s.tokens)
	}
}

// know keeps what a token holds, and returns the session of that id that is live, if there is one.
func (s *Sessions) know(keys *Keys, key tokenKey, l *Live) *Live {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trust(keys)
	if same := s.tokens[key]; same != nil {
		l = same // another request has shown it meanwhile: of two for one session, one could not be ended
	}
	if u := s.users[l.UID]; u != nil {
		if live := u.live[l.ID]; live != nil {
			l = live
		}
		if u.ended.Has(l.ID) {
			l.ended.Store(true)
		}
	}
	if len(s.tokens) >= maxTokens {
		for other := range s.tokens { // any of them: its signature is checked again when it is next shown
			delete(s.tokens, other)
			break
		}
	}
	s.tokens[key] = l
	return l
}

// Admit counts a session that is used as live, unless it has ended by now. One too many ends the oldest.
func (s *Sessions) Admit(l *Live) {
	l.seen(s.Now())
	if l.live.Load() {
		return
	}
	s.mu.Lock()
	began, replaced := s.add(l)
	s.mu.Unlock()
	if began {
		for _, o := range s.Observers {
			o.Began(l)
		}
	}
	for _, old := range replaced {
		s.tell(old, Replaced)
	}
}

// add needs s.mu.
func (s *Sessions) add(l *Live) (began bool, replaced []*Live) {
	u := s.users[l.UID]
	if u == nil {
		u = &user{live: map[string]*Live{}}
		s.users[l.UID] = u
	}
	if u.ended.Has(l.ID) {
		l.ended.Store(true) // while it was not counted
	}
	if l.ended.Load() || u.live[l.ID] != nil {
		return false, nil
	}
	l.live.Store(true)
	u.live[l.ID] = l
	s.count++
	for limit := max(1, s.MaxPerUser()); len(u.live) > limit; {
		oldest := l
		for id, other := range u.live {
			if id < oldest.ID {
				oldest = other
			}
		}
		s.drop(u, oldest, Replaced)
		replaced = append(replaced, oldest)
	}
	return true, replaced
}

// drop ends a session that is live. It needs s.mu.
func (s *Sessions) drop(u *user, l *Live, cause Cause) {
	l.live.Store(false)
	delete(u.live, l.ID)
	s.count--
	if cause.lasts() {
		l.ended.Store(true)
		u.ended.Add(s.Now(), maxEnded, l.ID)
	}
}

// maxEnded bounds what is remembered of a user's ended sessions.
const maxEnded = 32

// tell tells of an end.
func (s *Sessions) tell(l *Live, cause Cause) {
	if cause.told() {
		s.Keep(l)
	}
	at := s.Now()
	for _, o := range s.Observers {
		o.Ended(l, cause, at)
	}
}

// End ends a session, and says whether it was live until then. What was only refused may be admitted again.
func (s *Sessions) End(l *Live, cause Cause) bool {
	s.mu.Lock()
	var counted *Live // by the id: what was forgotten of the token and found again is the same session
	u := s.users[l.UID]
	if u != nil {
		counted = u.live[l.ID]
	}
	if counted != nil {
		s.drop(u, counted, cause)
	}
	if cause.lasts() {
		l.ended.Store(true)
	}
	s.mu.Unlock()
	if counted == nil {
		return false
	}
	s.tell(counted, cause)
	return true
}

// Review ends the sessions of a user that good, which must not block, does not admit any more.
func (s *Sessions) Review(uid string, good func(*Live) bool) {
	for _, l := range s.of(uid) {
		if !good(l) {
			s.End(l, Refused)
		}
	}
}

// of are the live sessions of a user.
func (s *Sessions) of(uid string) []*Live {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.users[uid]
	if u == nil {
		return nil
	}
	all := make([]*Live, 0, len(u.live))
	for _, l := range u.live {
		all = append(all, l)
	}
	return all
}

// Sweep ends all sessions whose time is over, and those that good does not admit any more, and forgets users
// of whom there is nothing left to know.
func (s *Sessions) Sweep(good func(*Live) bool) {
	now := s.Now()
	for _, uid := range s.uids() {
		for _, l := range s.of(uid) {
			switch {
			case !now.Before(l.Expire):
				s.End(l, Expired)
			case !good(l):
				s.End(l, Refused)
			}
		}
		s.forget(uid, now)
	}
}

func (s *Sessions) uids() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]string, 0, len(s.users))
	for uid := range s.users {
		all = append(all, uid)
	}
	return all
}

func (s *Sessions) forget(uid string, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.users[uid]
	if u == nil || len(u.live) > 0 {
		return
	}
	u.ended.Add(now, maxEnded)
	if len(u.ended.IDs) == 0 && u.ended.UpTo < lowestID(now.Add(-MaxTTL-time.Hour)) {
		delete(s.users, uid)
	}
}

// Count is how many sessions are live.
func (s *Sessions) Count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count
}
