package password

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
)

// held is a verifier whose hashes take until the test lets them end, one by one.
type held struct {
	*Verifier
	step  chan struct{}
	mu    sync.Mutex
	order []string // in which hashes began
	wg    sync.WaitGroup
	errs  map[string]error
}

func hold(o Options) *held {
	h := &held{Verifier: NewVerifier(o), step: make(chan struct{}), errs: map[string]error{}}
	h.match = func(_ scheme, input []byte, _ *arena) bool {
		h.mu.Lock()
		h.order = append(h.order, string(input))
		h.mu.Unlock()
		<-h.step
		return true
	}
	return h
}

// login starts an attempt and returns when it computes, waits or has ended.
func (h *held) login(ctx context.Context, name string, p Priority) {
	h.wg.Go(func() {
		_, err := h.Verify(ctx, Hash{}, []byte(name), p)
		h.mu.Lock()
		defer h.mu.Unlock()
		h.errs[name] = err
	})
	synctest.Wait()
}

// finish lets n hashes end.
func (h *held) finish(n int) {
	for range n {
		h.step <- struct{}{}
		synctest.Wait()
	}
}

func (h *held) ended(name string) (ok bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	err, ok = h.errs[name]
	return ok, err
}

func (h *held) wantIdle(t *testing.T, slots int) {
	t.Helper()
	h.wg.Wait()
	if h.gate.free != slots || len(h.gate.queues[Ordinary]) != 0 || len(h.gate.queues[Preferred]) != 0 {
		t.Errorf("%d slots free, want %d; %d and %d wait", h.gate.free, slots,
			len(h.gate.queues[Ordinary]), len(h.gate.queues[Preferred]))
	}
}

func TestPreferredGoFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hold(Options{Slots: 1})
		h.login(t.Context(), "first", Ordinary)
		h.login(t.Context(), "stranger-1", Ordinary)
		h.login(t.Context(), "stranger-2", Ordinary)
		h.login(t.Context(), "bound-1", Preferred)
		h.login(t.Context(), "bound-2", Preferred)
		h.finish(1)
		h.login(t.Context(), "stranger-3", Ordinary)
		h.login(t.Context(), "bound-3", Preferred)
		h.finish(6)
		h.wantIdle(t, 1)
		want := []string{"first", "bound-1", "bound-2", "bound-3", "stranger-1", "stranger-2", "stranger-3"}
		if diff := cmp.Diff(want, h.order); diff != "" {
			t.Errorf("order (-want +got):\n%s", diff)
		}
	})
}

func TestBusyAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hold(Options{Slots: 2, Queue: 2, PreferredQueue: 1})
		for _, name := range []string{"runs-1", "runs-2", "waits-1", "waits-2"} {
			h.login(t.Context(), name, Ordinary)
		}
		h.login(t.Context(), "refused", Ordinary)
		if ok, err := h.ended("refused"); !ok || !errors.Is(err, ErrBusy) {
			t.Errorf("ended = %v, error %v, want ErrBusy at once", ok, err)
		}
		// The queue of strangers being full is nothing to a device that is bound.
		h.login(t.Context(), "bound", Preferred)
		if ok, err := h.ended("bound"); ok {
			t.Errorf("preferred attempt ended at once: %v", err)
		}
		h.login(t.Context(), "bound-refused", Preferred)
		if ok, err := h.ended("bound-refused"); !ok || !errors.Is(err, ErrBusy) {
			t.Errorf("ended = %v, error %v, want ErrBusy at once", ok, err)
		}
		h.finish(5)
		h.wantIdle(t, 2)
		for _, name := range []string{"runs-1", "runs-2", "waits-1", "waits-2", "bound"} {
			if _, err := h.ended(name); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if slices.Contains(h.order, "refused") {
			t.Error("a hash was computed for an attempt that was refused")
		}
	})
}

func TestNoQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hold(Options{Slots: 1, Queue: -1, PreferredQueue: -1})
		h.login(t.Context(), "runs", Ordinary)
		for name, p := range map[string]Priority{"stranger": Ordinary, "bound": Preferred} {
			h.login(t.Context(), name, p)
			if ok, err := h.ended(name); !ok || !errors.Is(err, ErrBusy) {
				t.Errorf("%s: ended = %v, error %v, want ErrBusy", name, ok, err)
			}
		}
		h.finish(1)
		h.wantIdle(t, 1)
	})
}

func TestCancelWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hold(Options{Slots: 1, Queue: 1, PreferredQueue: 1})
		h.login(t.Context(), "runs", Ordinary)
		for name, p := range map[string]Priority{"stranger": Ordinary, "bound": Preferred} {
			ctx, cancel := context.WithCancel(t.Context())
			h.login(ctx, name, p)
			if ok, _ := h.ended(name); ok {
				t.Fatalf("%s did not wait", name)
			}
			cancel()
			synctest.Wait()
			if ok, err := h.ended(name); !ok || !errors.Is(err, context.Canceled) {
				t.Errorf("%s: ended = %v, error %v, want context.Canceled", name, ok, err)
			}
		}
		// The places in the queues are free again, and the slot goes to who came after.
		h.login(t.Context(), "stranger-2", Ordinary)
		h.login(t.Context(), "bound-2", Preferred)
		h.finish(3)
		h.wantIdle(t, 1)
		if diff := cmp.Diff([]string{"runs", "bound-2", "stranger-2"}, h.order); diff != "" {
			t.Errorf("order (-want +got):\n%s", diff)
		}
	})
}

func TestCanceledBeforeAsking(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	v := NewVerifier(Options{Slots: 1})
	v.match = func(scheme, []byte, *arena) bool { t.Error("computed a hash that nobody waits for"); return false }
	if _, err := v.Verify(ctx, Hash{}, []byte(horse), Ordinary); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
	if _, err := v.Hash(ctx, []byte(horse)); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
}

// The slot is handed over in the moment in which the waiter gives up: it must go on to the next.
func TestSlotIsNotLostToOneWhoGaveUp(t *testing.T) {
	for name, waiters := range map[string]int{"another waits": 2, "nobody waits": 1} {
		t.Run(name, func(t *testing.T) {
			g := newGate(1, [priorities]int{4, 4}, nil)
			if first, err := g.enqueue(Ordinary); first != nil || err != nil {
				t.Fatal("no free slot at the beginning")
			}
			gaveUp, err := g.enqueue(Ordinary)
			if err != nil {
				t.Fatal(err)
			}
			var after turn
			for range waiters - 1 {
				if after, err = g.enqueue(Ordinary); err != nil {
					t.Fatal(err)
				}
			}
			g.release()
			g.leave(Ordinary, gaveUp)
			if after == nil {
				if g.free != 1 {
					t.Errorf("%d slots free, want 1", g.free)
				}
				return
			}
			select {
			case <-after:
			default:
				t.Error("the next one did not get the slot")
			}
		})
	}
}

func TestPanicGivesTheSlotBack(t *testing.T) {
	v := NewVerifier(Options{Slots: 1})
	v.match = func(scheme, []byte, *arena) bool { panic("out of order") }
	func() {
		defer func() { _ = recover() }()
		_, _ = v.Verify(context.Background(), Hash{}, []byte(horse), Ordinary)
	}()
	if v.gate.free != 1 {
		t.Errorf("%d slots free, want 1", v.gate.free)
	}
}

// Under the race detector: attempts of both priorities come, wait and give up as they like.
func TestNeverMoreThanSlots(t *testing.T) {
	const slots, attempts = 3, 2000
	v := NewVerifier(Options{Slots: slots, Queue: 100, PreferredQueue: 100})
	var running, most, answered, canceled, refused atomic.Int64
	v.match = func(scheme, []byte, *arena) bool {
		for n := running.Add(1); ; {
			m := most.Load()
			if n <= m || most.CompareAndSwap(m, n) {
				break
			}
		}
		running.Add(-1)
		return true
	}
	var wg sync.WaitGroup
	for i := range attempts {
		wg.Go(func() {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			if i%3 == 0 {
				go cancel()
			}
			switch _, err := v.Verify(ctx, Hash{}, []byte(horse), Priority(i%2)); {
			case err == nil:
				answered.Add(1)
			case errors.Is(err, ErrBusy):
				refused.Add(1)
			case errors.Is(err, context.Canceled):
				canceled.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if most.Load() > slots {
		t.Errorf("%d hashes at once, want at most %d", most.Load(), slots)
	}
	if n := answered.Load() + refused.Load() + canceled.Load(); n != attempts {
		t.Errorf("%d attempts ended, want %d", n, attempts)
	}
	if v.gate.free != slots || len(v.gate.queues[Ordinary])+len(v.gate.queues[Preferred]) != 0 {
		t.Errorf("%d slots free, want %d, nobody waiting", v.gate.free, slots)
	}
	if n := len(v.arenas.idle); n > slots {
		t.Errorf("%d arenas for %d slots", n, slots)
	}
}

func TestPriorityOutOfRangeIsOrdinary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hold(Options{Slots: 1})
		h.login(t.Context(), "runs", Priority(200))
		h.login(t.Context(), "stranger", Priority(7))
		h.login(t.Context(), "bound", Preferred)
		h.finish(3)
		h.wantIdle(t, 1)
		if diff := cmp.Diff([]string{"runs", "bound", "stranger"}, h.order); diff != "" {
			t.Errorf("order (-want +got):\n%s", diff)
		}
	})
}

// TestOrdinaryAttemptsGetTheirShare: people with bound devices, however many, do not keep the others out.
func TestOrdinaryAttemptsGetTheirShare(t *testing.T) {
	g := newGate(1, [priorities]int{Ordinary: 10, Preferred: 100}, nil)
	if err := g.acquire(context.Background(), Ordinary); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if _, err := g.enqueue(Preferred); err != nil {
			t.Fatal(err)
		}
	}
	mine, err := g.enqueue(Ordinary)
	if err != nil {
		t.Fatal(err)
	}
	for passed := 0; ; passed++ {
		select {
		case <-mine:
			if passed > preferredInARow+1 {
				t.Errorf("%d went ahead of the one that waits", passed)
			}
			return
		default:
		}
		if passed > 20 {
			t.Fatal("the ordinary attempt was kept out")
		}
		g.release()
	}
}
