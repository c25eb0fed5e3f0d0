package directory

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/statuspatch"
	"github.com/tegata-dev/tegata/internal/testenv"
)

const (
	server = "asp1"
	soon   = 20 * time.Second
)

// following is a Directory that follows a namespace of the API server, and what it told of it.
type following struct {
	*Directory
	source *Source

	mu   sync.Mutex
	told []observation
}

type observation struct {
	resourceVersion string
	urgent          bool
}

// newClient has connections of its own, so that closing them ends them.
func newClient(t *testing.T, env *testenv.Env) client.WithWatch {
	t.Helper()
	config := rest.CopyConfig(env.Config)
	config.Dial = (&net.Dialer{}).DialContext
	httpClient, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { utilnet.CloseIdleConnectionsFor(httpClient.Transport) })
	c, err := client.NewWithWatch(config, client.Options{HTTPClient: httpClient, Scheme: env.Scheme})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// prepare makes a directory that does not follow yet.
func prepare(c client.WithWatch, namespace string) *following {
	f := &following{Directory: New(server)}
	f.source = NewSource(c, namespace, f.Directory, logr.Discard(), func(resourceVersion string, urgent bool) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.told = append(f.told, observation{resourceVersion, urgent})
	})
	return f
}

// start follows until the test ends, and returns once everything was listed.
func (f *following) start(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { f.source.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	first, done := context.WithTimeout(t.Context(), soon)
	defer done()
	if err := f.source.WaitForSync(first); err != nil {
		t.Fatal(err)
	}
}

func follow(t *testing.T, env *testenv.Env, namespace string) *following {
	t.Helper()
	f := prepare(newClient(t, env), namespace)
	f.start(t)
	return f
}

// urgentAt says whether it was told that a write was urgent.
func (f *following) urgentAt(resourceVersion string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Contains(f.told, observation{resourceVersion, true})
}

func (f *following) hasObserved(resourceVersion string) error {
	observed, at := f.Observed()
	order, err := resourceversion.CompareResourceVersion(observed, resourceVersion)
	if err != nil || order < 0 || at.IsZero() {
		return fmt.Errorf("observed %q at %s, %w; want %s", observed, at, err, resourceVersion)
	}
	return nil
}

func (f *following) knows(userName string, want bool) func() error {
	return func() error {
		if account, _ := f.Lookup(userName); (account != nil) != want {
			return fmt.Errorf("%s is known: %t, want %t", userName, account != nil, want)
		}
		return nil
	}
}

func create[T client.Object](t *testing.T, env *testenv.Env, obj T) T {
	t.Helper()
	if err := env.Client.Create(t.Context(), obj); err != nil {
		t.Fatal(err)
	}
	return obj
}

func remove(t *testing.T, env *testenv.Env, obj client.Object) {
	t.Helper()
	if err := env.Client.Delete(t.Context(), obj); err != nil {
		t.Fatal(err)
	}
}

func changeStatus(t *testing.T, env *testenv.Env, user *v1alpha1.RelayUser, mutate func(*v1alpha1.RelayUserStatus)) {
	t.Helper()
	if _, err := statuspatch.Apply(t.Context(), env.Client, user, func(u *v1alpha1.RelayUser) { mutate(&u.Status) }); err != nil {
		t.Fatal(err)
	}
}
