package password

import (
	"runtime"
	"runtime/metrics"
	"sync"
	"testing"
)

// heap watches how far the heap grows over what it was.
type heap struct {
	base int64
	mu   sync.Mutex
	most int64
}

func newHeap(t testing.TB) *heap {
	t.Helper()
	runtime.GC()
	runtime.GC()
	return &heap{base: heapBytes()}
}

func (h *heap) sample() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.most = max(h.most, heapBytes()-h.base)
}

func (h *heap) peak() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.most
}

// heapBytes counts live objects and garbage that is not swept yet.
func heapBytes() int64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return int64(sample[0].Value.Uint64())
}
