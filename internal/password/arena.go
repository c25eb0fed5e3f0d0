package password

import (
	"sync"
	"weak"
)

// arena is the memory that hashes are computed in, one after the other. It grows to the largest.
type arena struct {
	blocks []block
}

// take returns n blocks of zeroes. The caller clears them when done.
func (a *arena) take(n int) []block {
	if cap(a.blocks) < n {
		a.blocks = nil // the old ones may go before the new ones come
		a.blocks = make([]block, n)
	}
	return a.blocks[:n]
}

// arenas hands out memory: at most as many arenas exist as were ever out at once. The idle ones are held
// weakly, so that the collector may take them when the rush is over and no timer is needed, and the
// latest is used first.
type arenas struct {
	mu   sync.Mutex
	idle []weak.Pointer[arena]
}

func (s *arenas) get() *arena {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n := len(s.idle); n > 0; n = len(s.idle) {
		a := s.idle[n-1].Value()
		s.idle = s.idle[:n-1]
		if a != nil {
			return a
		}
	}
	return &arena{}
}

func (s *arenas) put(a *arena) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.idle = append(s.idle, weak.Make(a))
}
