package password

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/go-crypt/x/argon2"
)

var benchSalt = []byte("TegataTegataTega")

// BenchmarkBareArgon2id is the floor: the library alone, with the default parameters.
func BenchmarkBareArgon2id(b *testing.B) {
	b.ReportAllocs()
	c := defaultCost
	for b.Loop() {
		argon2.IDKey([]byte(horse), benchSalt, c.passes, c.memory, c.lanes, newKey)
	}
}

func BenchmarkVerify(b *testing.B) {
	v := NewVerifier(Options{Slots: 1})
	for name, encoded := range map[string]string{
		"argon2id":     vectors["argon2id, libargon2, the default parameters"].encoded,
		"bcrypt":       "$2b$10$" + bcr53,
		"sha512-crypt": vectors["sha512-crypt, openssl passwd -6"].encoded,
		"unknown user": "",
	} {
		b.Run(name, func(b *testing.B) {
			var h Hash
			if encoded != "" {
				h = mustParse(b, encoded)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Verify(context.Background(), h, []byte(horse), Ordinary); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkFlood is 1,000 logins at once, again and again, on the slots there are, and then the same number
// of bare hashes on as many goroutines: vs-bare is logins a second as a ratio of bare hashes a second, both
// at rest but for each other.
func BenchmarkFlood(b *testing.B) {
	for _, slots := range []int{1, 2} {
		b.Run(fmt.Sprintf("slots=%d", slots), func(b *testing.B) {
			var peak int64
			var ours, bare, ourCPU, bareCPU time.Duration
			var hashes int
			v := NewVerifier(Options{Slots: slots, Queue: 64})
			for b.Loop() {
				heap := newHeap(b)
				var n int
				ours, ourCPU = timed(ours, ourCPU, func() { n = flood(v, heap) })
				peak = max(peak, heap.peak())
				hashes += n
				bare, bareCPU = timed(bare, bareCPU, func() { bareLoop(slots, n) })
			}
			b.ReportMetric(bare.Seconds()/ours.Seconds(), "vs-bare")
			b.ReportMetric(bareCPU.Seconds()/ourCPU.Seconds(), "cpu-vs-bare")
			b.ReportMetric(float64(hashes)/ours.Seconds(), "logins/s")
			b.ReportMetric(mib(peak), "peak-MiB")
		})
	}
}

func flood(v *Verifier, heap *heap) int {
	v.match = func(s scheme, input []byte, mem *arena) bool {
		defer heap.sample()
		return s.match(input, mem)
	}
	var wg sync.WaitGroup
	var done atomic.Int64
	for range 1000 {
		wg.Go(func() {
			if _, err := v.Verify(context.Background(), Hash{}, []byte(horse), Ordinary); !errors.Is(err, ErrBusy) {
				done.Add(1)
			}
		})
	}
	wg.Wait()
	return int(done.Load())
}

func bareLoop(slots, n int) {
	var wg sync.WaitGroup
	var left atomic.Int64
	left.Store(int64(n))
	for range slots {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				argon2.IDKey([]byte(horse), benchSalt, defaultCost.passes, defaultCost.memory, defaultCost.lanes, newKey)
			}
		})
	}
	wg.Wait()
}

func timed(wall, cpu time.Duration, do func()) (time.Duration, time.Duration) {
	begin, used := time.Now(), cpuTime()
	do()
	return wall + time.Since(begin), cpu + cpuTime() - used
}

func cpuTime() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func BenchmarkParse(b *testing.B) {
	encoded := vectors["argon2id, libargon2, the default parameters"].encoded
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(encoded); err != nil {
			b.Fatal(err)
		}
	}
}
