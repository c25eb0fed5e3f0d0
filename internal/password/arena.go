package password

import (
	"runtime"
	"sync"
)

// arena is the memory that hashes are computed in, one after the other. It grows to the largest, and is
// given back with the arena.
//
// It lies outside the heap where the system allows that: the collector lets garbage pile up to as much as
// there is alive, so that megabytes in the heap would cost as many again.
type arena struct {
	blocks  []block
	cleanup runtime.Cleanup
	// yield is called every 50 µs or so by a hash that can; nil for none.
	yield func()
}

// take returns n blocks of zeroes. The caller clears them when done.
func (a *arena) take(n int) []block {
	if len(a.blocks) < n {
		a.free() // the old ones may go before the new ones come
		a.grow(n)
	}
	return a.blocks[:n]
}

func (a *arena) grow(n int) {
	memory, err := mapMemory(n * blockBytes)
	if err != nil {
		a.blocks = make([]block, n)
		return
	}
	a.blocks = asBlocks(memory)
	a.cleanup = runtime.AddCleanup(a, unmapMemory, memory)
}

// free gives the memory back. The zero Cleanup, that of memory in the heap, stops nothing.
func (a *arena) free() {
	if memory := asBytes(a.blocks); memory != nil && a.cleanup != (runtime.Cleanup{}) {
		a.cleanup.Stop()
		unmapMemory(memory)
	}
	a.blocks, a.cleanup = nil, runtime.Cleanup{}
}

// arenas hands out memory: at most as many arenas exist as were ever out at once, the latest used first.
type arenas struct {
	mu   sync.Mutex
	idle []*arena
}

func (s *arenas) get() *arena {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := len(s.idle) - 1
	if last < 0 {
		return &arena{}
	}
	a := s.idle[last]
	s.idle = s.idle[:last]
	return a
}

func (s *arenas) put(a *arena) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.idle = append(s.idle, a)
}
