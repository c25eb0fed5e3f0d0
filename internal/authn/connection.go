package authn

import "github.com/tegata-dev/tegata/internal/session"

// A gateway that is told of a session's id, but has no token, keeps a connection for it and tells how that goes.

// ContinueSession is to be called when a gateway tells that the connection of a session goes on. It says whether
// it may: a session that would not be admitted any more is ended, and its connection has to end, too.
func (s *Service) ContinueSession(l *session.Live) bool {
	switch {
	case l.Ended():
		return false
	case !s.stillGood(l):
		s.sessions.End(l, session.Refused)
		return false
	}
	s.sessions.Admit(l)
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
