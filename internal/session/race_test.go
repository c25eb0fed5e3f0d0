package session

import "testing"

// TestTwoFirstRequestsAreOneSession: a browser shows its token at a sidecar that has not seen it in several
// requests at once. Whichever of them comes first, the session is one: it can be ended, and stays so.
func TestTwoFirstRequestsAreOneSession(t *testing.T) {
	issued := newStage(t)
	_, token := issued.begin("uid-taro")
	for name, end := range map[string]func(*stage, *Live){
		"logout":   func(s *stage, l *Live) { s.End(l, Logout) },
		"stop":     func(s *stage, l *Live) { s.EndID(l.UID, l.ID, Stopped) },
		"replaced": func(s *stage, _ *Live) { s.max = 1; s.now = s.now.Add(1e9); s.begin("uid-taro") },
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			s.keys = issued.keys
			verified, err := s.keys.verify(issuer, token, s.now)
			if err != nil {
				t.Fatal(err)
			}
			// Both have found the token unknown, and have verified it, before either is kept.
			key := keyFor(token)
			first := s.know(s.keys, key, &Live{Session: *verified})
			second := s.know(s.keys, key, &Live{Session: *verified})
			s.Admit(first)
			s.Admit(second)
			shown, err := s.Find(token)
			if err != nil {
				t.Fatal(err)
			}
			end(s, shown)
			again, err := s.Find(token)
			if err != nil {
				t.Fatal(err)
			}
			s.Admit(again)
			if !again.Ended() || !first.Ended() || !second.Ended() {
				t.Errorf("after its end the session counts as ended: shown %t, first %t, second %t; want all",
					again.Ended(), first.Ended(), second.Ended())
			}
		})
	}
}

// TestEndReachesASessionThatIsNotCounted: one that was refused for a while is known by its token, but not counted.
// A gateway's word that it has ended holds all the same.
func TestEndReachesASessionThatIsNotCounted(t *testing.T) {
	s := newStage(t)
	l, token := s.begin("uid-taro")
	s.End(l, Refused)
	if !s.EndID("uid-taro", l.ID, Stopped) {
		t.Fatal("the session was not ended")
	}
	found, err := s.Find(token)
	if err != nil {
		t.Fatal(err)
	}
	s.Admit(found)
	if !found.Ended() || s.Count() != 0 {
		t.Errorf("it is used again: ended %t, %d live", found.Ended(), s.Count())
	}
}
