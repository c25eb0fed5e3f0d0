package authn

import (
	"net/netip"

	"github.com/tegata-dev/tegata/internal/decision"
	"github.com/tegata-dev/tegata/internal/session"
)

// A gateway that is told of a session's id, but has no token, keeps a connection for it and tells how that goes.

// ContinueSession is to be called when a gateway tells that the connection of a session goes on. It says whether
// it may: a session that would not be admitted any more is ended, and its connection has to end, too.
func (s *Service) ContinueSession(l *session.Live) bool {
	switch {
	case l.Ended():
		return false
	case !s.unchanged(l) && !s.stillGood(l):
		s.sessions.End(l, session.Refused)
		return false
	}
	s.sessions.Admit(l)
	return true
}

// unchanged says whether nothing has changed since the session was last admitted from where it began, which is
// remembered.
func (s *Service) unchanged(l *session.Live) bool {
	policy := s.directory.Policy()
	if policy == nil || !s.liveness.Fresh() {
		return false
	}
	now := s.now()
	source, _ := netip.ParseAddr(l.Details.Source)
	if m, ok := l.Memo.Load().(*memo); ok && m.holds(policy, source, now) {
		return true
	}
	subject := s.directory.Subject(l.UID)
	state := subject.State()
	outcome := judge(policy, l, state, source, now)
	if outcome.Verdict != decision.Allow {
		return false
	}
	l.Memo.Store(newMemo(policy, l, subject, state, source, now, outcome))
	return true
}

// StopSession ends a session because its gateway says that the connection has ended. It says whether the session
// was live until then.
func (s *Service) StopSession(l *session.Live) bool { return s.sessions.End(l, session.Stopped) }

// TagSession is what a gateway has to tell along with the id of a session that it was given, for StopSessionOf.
func (s *Service) TagSession(l *session.Live, gateway string) string {
	return s.sessions.Tag(l.UID, l.ID, gateway)
}

// StopSessionOf is StopSession for a session that another sidecar began, of the user with that login name. Only the
// gateway that was given the session may end it: ids are no secret, and whoever could end sessions by made-up ones
// would end all of anybody's.
func (s *Service) StopSessionOf(userName, id, gateway, tag string) bool {
	account, _ := s.directory.Lookup(userName)
	return account != nil && s.sessions.Tagged(account.UID, id, gateway, tag) && s.sessions.EndID(account.UID, id, session.Stopped)
}
