package password

import (
	"runtime"
	"sync"
	"testing"
)

// The memory that a hash is computed in lies outside the heap: nothing in it tells the collector that it is
// in use. Without the arena being kept alive, this ends the program with a fault.
func TestHashingOutlivesCollections(t *testing.T) {
	done := make(chan struct{})
	var collector sync.WaitGroup
	collector.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				runtime.GC()
			}
		}
	})
	for range 8 {
		if _, err := New([]byte("correct horse")); err != nil {
			t.Error(err)
		}
	}
	close(done)
	collector.Wait()
}
