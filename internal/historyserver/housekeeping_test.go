package historyserver

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/tegata-dev/tegata/internal/testenv"
)

// said is what RelayServers say, or why that cannot be read.
type said struct {
	retentions map[types.NamespacedName]time.Duration
	now        time.Time
	err        error
}

func (s *said) Retentions(context.Context) (map[types.NamespacedName]time.Duration, time.Time, error) {
	return s.retentions, s.now, s.err
}

func newHousekeeper(store *memory, servers Retentions) *housekeeper {
	return &housekeeper{
		store: store, retentions: servers, standard: 100 * time.Hour, clocks: newClocks(func() time.Time { return began }),
		metrics: newMetrics(prometheus.NewRegistry()), log: logr.Discard(), known: map[types.NamespacedName]time.Duration{},
	}
}

func TestRetention(t *testing.T) {
	store := newMemory()
	here, silent := types.NamespacedName{Namespace: "relays", Name: "asp1"}, types.NamespacedName{Namespace: "relays", Name: "asp2"}
	servers := &said{retentions: map[types.NamespacedName]time.Duration{here: 10 * time.Hour, silent: 0}}
	gone, nobodys := success(began.Add(-time.Hour), "taro"), failure(began.Add(-time.Hour), "", "UnknownUser")
	gone.Namespace, gone.Server = "relays", "before"
	nobodys.Namespace, nobodys.Server = "relays", "nobodys"
	store.records[recordKey(&gone)], store.records[recordKey(&nobodys)] = gone, nobodys
	h := newHousekeeper(store, servers)
	if err := h.expire(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := map[string]time.Time{
		"relays/asp1": began.Add(-10 * time.Hour), "relays/asp2": began.Add(-100 * time.Hour), "relays/before": began.Add(-100 * time.Hour),
		"relays/nobodys": began.Add(-100 * time.Hour),
	}
	if diff := cmp.Diff(want, store.expired); diff != "" {
		t.Errorf("dropped before (-want +got):\n%s", diff)
	}

	t.Run("a server that is gone keeps what it said", func(t *testing.T) {
		delete(servers.retentions, here)
		clear(store.expired)
		if err := h.expire(t.Context()); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, store.expired); diff != "" {
			t.Errorf("dropped before (-want +got):\n%s", diff)
		}
	})
	t.Run("what was said holds while nothing can be read", func(t *testing.T) {
		servers.err = errors.New("the API server is away")
		clear(store.expired)
		if err := h.expire(t.Context()); !errors.Is(err, servers.err) {
			t.Errorf("got %v", err)
		}
		if diff := cmp.Diff(want, store.expired); diff != "" {
			t.Errorf("dropped before (-want +got):\n%s", diff)
		}
	})
}

func TestLostConnectionsAreClosed(t *testing.T) {
	store := newMemory()
	if err := newHousekeeper(store, &said{}).closeLost(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]time.Time{began.Add(-10 * time.Minute)}, store.lost); diff != "" {
		t.Errorf("asked for (-want +got):\n%s", diff)
	}
}

func TestHousekeepingGoesOnAfterFailures(t *testing.T) {
	store := newMemory()
	store.fail(errDatabase)
	h := newHousekeeper(store, &said{})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	tries := 0
	go func() {
		defer close(done)
		h.repeat(ctx, "lost", time.Millisecond, func(ctx context.Context) error {
			tries++
			if tries == 3 {
				cancel()
			}
			return h.closeLost(ctx)
		})
	}()
	<-done
	if tries != 3 {
		t.Errorf("tried %d times", tries)
	}
}

func TestRetentionsAreRead(t *testing.T) {
	env := testenv.Shared(t)
	ns := env.Namespace(t)
	if err := env.Client.Create(t.Context(), testenv.Server(ns, "asp1")); err != nil {
		t.Fatal(err)
	}
	servers, err := NewRelayServers(env.Config)
	if err != nil {
		t.Fatal(err)
	}
	got, now, err := servers.Retentions(t.Context())
	if apart := time.Since(now).Abs(); apart > time.Minute { // both run here
		t.Errorf("the API server's clock is %s off", apart)
	}
	if retention, ok := got[types.NamespacedName{Namespace: ns, Name: "asp1"}]; err != nil || !ok || retention < 0 {
		t.Errorf("got %v, %v", got, err)
	}
	for text, want := range map[string]time.Duration{"720h0m0s": 720 * time.Hour, "": 0, "nonsense": 0} {
		server := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"history": map[string]any{"retention": text}}}}
		if got := retentionOf(server); got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
}
