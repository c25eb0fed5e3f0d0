package failures

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/testenv"
)

const soon = 20 * time.Second

// between stands between a Recorder and the API server. It counts the patches of status that reach it.
type between struct {
	patches atomic.Int32
	// patch, when set, may keep a patch from the API server, or its answer from the Recorder.
	patch func(send func() error) error
	// down has every request fail.
	down atomic.Bool
}

var errDown = errors.New("dial tcp 192.0.2.1:6443: connect: connection refused")

func (b *between) client(t *testing.T, env *testenv.Env) Client {
	t.Helper()
	c, err := client.NewWithWatch(env.Config, client.Options{Scheme: env.Scheme})
	if err != nil {
		t.Fatal(err)
	}
	return interceptor.NewClient(c, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
			if b.down.Load() {
				return errDown
			}
			return c.Get(ctx, key, obj, opts...)
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, obj client.Object, patch client.Patch, opts ...client.SubResourcePatchOption) error {
			send := func() error {
				b.patches.Add(1)
				return c.SubResource(sub).Patch(ctx, obj, patch, opts...)
			}
			switch {
			case b.down.Load():
				return errDown
			case b.patch != nil:
				return b.patch(send)
			}
			return send()
		},
	})
}

// running is a Recorder that runs until stop, or the end of the test.
type running struct {
	*Recorder
	stop func()
}

func run(t *testing.T, env *testenv.Env, namespace string, b *between) *running {
	t.Helper()
	r := &running{Recorder: NewRecorder(b.client(t, env), namespace, NewMetrics(prometheus.NewRegistry()), logr.Discard())}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { r.Run(ctx) })
	r.stop = func() {
		cancel()
		wg.Wait()
	}
	t.Cleanup(r.stop)
	return r
}

// held is how many users it holds in memory.
func (r *running) held() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.users)
}

func newUser(t *testing.T, env *testenv.Env, namespace, name string) (*v1alpha1.RelayUser, Account) {
	t.Helper()
	user := testenv.User(namespace, name, "asp1")
	if err := env.Client.Create(t.Context(), user); err != nil {
		t.Fatal(err)
	}
	return user, Account{Name: user.Name, UID: string(user.UID)}
}

func statusOf(t *testing.T, env *testenv.Env, user *v1alpha1.RelayUser) v1alpha1.RelayUserStatus {
	t.Helper()
	stored := &v1alpha1.RelayUser{}
	if err := env.Client.Get(t.Context(), client.ObjectKeyFromObject(user), stored); err != nil {
		t.Fatal(err)
	}
	return stored.Status
}

// counts waits until the stored count is as wanted, and fails when it is more.
func counts(t *testing.T, env *testenv.Env, user *v1alpha1.RelayUser, want int64, within time.Duration) {
	t.Helper()
	testenv.Eventually(t, within, func() error {
		got := statusOf(t, env, user).FailureCount
		if got > want {
			t.Fatalf("%d failures are stored, of %d", got, want)
		}
		if got != want {
			return fmt.Errorf("%d failures are stored, want %d", got, want)
		}
		return nil
	})
}

var ids atomic.Int64

// now is a wrong password at this moment.
func now(source string) v1alpha1.LoginFailure {
	at := metav1.Now()
	return v1alpha1.LoginFailure{
		Reason: v1alpha1.ReasonPasswordMismatch, FirstTime: at, LastTime: at, Count: 1, Program: v1alpha1.ProgramViewer,
		Slot: v1alpha1.SlotPC, SourceAddress: source, Sidecar: "s1", CorrelationID: fmt.Sprint("id-", ids.Add(1)),
	}
}
