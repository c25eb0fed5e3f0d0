package authn

import (
	"sync/atomic"

	"github.com/tegata-dev/tegata/internal/password"
)

// Subject is one user over time. Who holds one sees what becomes of the user without looking it up again.
type Subject struct {
	state atomic.Pointer[State]
}

// State is a user at one time. It does not change.
type State struct {
	Account *Account
	// Credential marks the password hash, zero when there is none.
	Credential password.Mark
}

// State is the user at present, nil when it is not served: it is gone, or another has its login name. The nil
// Subject has none.
func (s *Subject) State() *State {
	if s == nil {
		return nil
	}
	return s.state.Load()
}

// Become replaces the state.
func (s *Subject) Become(state *State) { s.state.Store(state) }
