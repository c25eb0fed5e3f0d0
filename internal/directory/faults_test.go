package directory

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/testenv"
)

// usersOnly changes how RelayUsers are listed and watched; all else is as it is.
func usersOnly(c client.WithWatch, f interceptor.Funcs) client.WithWatch {
	return interceptor.NewClient(c, interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			if _, users := list.(*v1alpha1.RelayUserList); users && f.List != nil {
				return f.List(ctx, c, list, opts...)
			}
			return c.List(ctx, list, opts...)
		},
		Watch: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) (watch.Interface, error) {
			if _, users := list.(*v1alpha1.RelayUserList); users && f.Watch != nil {
				return f.Watch(ctx, c, list, opts...)
			}
			return c.Watch(ctx, list, opts...)
		},
	})
}

// silentWatch never tells anything, like one whose connection has died unnoticed.
func silentWatch(context.Context, client.WithWatch, client.ObjectList, ...client.ListOption) (watch.Interface, error) {
	return watch.NewFake(), nil
}

// TestResyncListsAfterTheCall: what was written before the call is known after it, although the watch is
// dead, and although a list that had read the users earlier was still on its way.
func TestResyncListsAfterTheCall(t *testing.T) {
	env := testenv.Shared(t)
	namespace := env.Namespace(t)
	var hold atomic.Bool
	held, release := make(chan struct{}), make(chan struct{})
	f := prepare(usersOnly(newClient(t, env), interceptor.Funcs{
		Watch: silentWatch,
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			err := c.List(ctx, list, opts...)
			if hold.CompareAndSwap(true, false) {
				close(held)
				<-release
			}
			return err
		},
	}), namespace)
	f.start(t)

	create(t, env, testenv.User(namespace, "first", server))
	if err := f.source.Resync(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := f.knows("first", true)(); err != nil {
		t.Error(err)
	}

	hold.Store(true)
	earlier, later := make(chan error, 1), make(chan error, 1)
	go func() { earlier <- f.source.Resync(t.Context()) }()
	<-held
	second := create(t, env, testenv.User(namespace, "second", server))
	waiting := f.waiting()
	go func() { later <- f.source.Resync(t.Context()) }()
	testenv.Eventually(t, soon, func() error {
		if f.waiting() == waiting {
			return errors.New("the later call has not begun")
		}
		return nil
	})
	close(release)
	if err := <-earlier; err != nil {
		t.Error(err)
	}
	if err := <-later; err != nil {
		t.Error(err)
	}
	if err := errors.Join(f.knows("second", true)(), f.hasObserved(second.ResourceVersion)); err != nil {
		t.Error(err)
	}
}

// waiting is how many calls of Resync wait for a list to begin.
func (f *following) waiting() int {
	f.source.users.mu.Lock()
	defer f.source.users.mu.Unlock()
	return len(f.source.users.waiters)
}

// TestResyncFindsDeletedUsers: a list that does not hold a user any more removes it.
func TestResyncFindsDeletedUsers(t *testing.T) {
	env := testenv.Shared(t)
	namespace := env.Namespace(t)
	f := prepare(usersOnly(newClient(t, env), interceptor.Funcs{Watch: silentWatch}), namespace)
	gone := create(t, env, testenv.User(namespace, "gone", server))
	create(t, env, testenv.User(namespace, "stays", server))
	f.start(t)
	remove(t, env, gone)
	if err := errors.Join(f.knows("gone", true)(), f.source.Resync(t.Context()), f.knows("gone", false)(), f.knows("stays", true)()); err != nil {
		t.Error(err)
	}
}

func TestResyncEndsWithItsContext(t *testing.T) {
	env := testenv.Shared(t)
	namespace := env.Namespace(t)
	var down atomic.Bool
	f := prepare(usersOnly(newClient(t, env), interceptor.Funcs{
		Watch: silentWatch,
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			if down.Load() {
				return errors.New("connection refused")
			}
			return c.List(ctx, list, opts...)
		},
	}), namespace)
	f.start(t)
	down.Store(true)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if since := f.source.FailingSince(); !since.IsZero() {
		t.Errorf("failing since %s, while all is well", since)
	}
	start := time.Now()
	if err := f.source.Resync(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	if since := f.source.FailingSince(); since.Before(start) || since.After(time.Now()) {
		t.Errorf("failing since %s, want since the first list that failed", since)
	}
	down.Store(false)
	if err := f.source.Resync(t.Context()); err != nil {
		t.Error(err)
	}
	if since := f.source.FailingSince(); !since.IsZero() {
		t.Errorf("failing since %s, after a list that did not", since)
	}
}

// TestExpiredWatch: a watch from a resourceVersion that the API server has forgotten is replaced by a
// fresh list, and followed from there.
func TestExpiredWatch(t *testing.T) {
	env := testenv.Shared(t)
	namespace := env.Namespace(t)
	var lists atomic.Int32
	var expired atomic.Bool
	f := prepare(usersOnly(newClient(t, env), interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			lists.Add(1)
			return c.List(ctx, list, opts...)
		},
		Watch: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) (watch.Interface, error) {
			if expired.CompareAndSwap(false, true) {
				o := &client.ListOptions{}
				o.ApplyOptions(opts)
				o.Raw.ResourceVersion = "1"
				return c.Watch(ctx, list, o)
			}
			return c.Watch(ctx, list, opts...)
		},
	}), namespace)
	f.start(t)
	testenv.Eventually(t, soon, func() error {
		if n := lists.Load(); n != 2 {
			return fmt.Errorf("%d lists", n)
		}
		return nil
	})
	create(t, env, testenv.User(namespace, "hanako", server))
	testenv.Eventually(t, soon, f.knows("hanako", true))
	if n := lists.Load(); n != 2 {
		t.Errorf("%d lists, want the first and the one after the expiry", n)
	}
}

// TestWatchThatFailsAtOnce: lists that each end in a watch that fails are spaced, ever more.
func TestWatchThatFailsAtOnce(t *testing.T) {
	env := testenv.Shared(t)
	namespace := env.Namespace(t)
	var lists atomic.Int32
	f := prepare(usersOnly(newClient(t, env), interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			lists.Add(1)
			return c.List(ctx, list, opts...)
		},
		Watch: func(context.Context, client.WithWatch, client.ObjectList, ...client.ListOption) (watch.Interface, error) {
			w := watch.NewFakeWithChanSize(1, false)
			w.Error(&apierrors.NewInternalError(errors.New("broken")).ErrStatus)
			return w, nil
		},
	}), namespace)
	f.start(t)
	first := lists.Load()
	if err := f.source.Resync(t.Context()); err != nil { // which does not wait for the next turn
		t.Error(err)
	}
	timer := time.NewTimer(2 * time.Second)
	defer timer.Stop()
	<-timer.C
	if n := lists.Load() - first; n > 12 {
		t.Errorf("%d lists in two seconds", n)
	}
}

// TestListThatBreaksOff: a list that fails between two pages begins anew, and nobody is lost meanwhile.
func TestListThatBreaksOff(t *testing.T) {
	env := testenv.Shared(t)
	namespace := env.Namespace(t)
	for i := range 6 {
		create(t, env, testenv.User(namespace, fmt.Sprint("user-", i), server))
	}
	var pages atomic.Int32
	var f *following
	f = prepare(usersOnly(newClient(t, env), interceptor.Funcs{
		Watch: silentWatch,
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			switch pages.Add(1) {
			case 2:
				return errors.New("connection reset")
			case 8:
				if f.Users() != 6 {
					t.Errorf("%d users in the middle of a list", f.Users())
				}
				return apierrors.NewResourceExpired("the continue token is too old")
			}
			return c.List(ctx, list, opts...)
		},
	}), namespace)
	f.source.users.pageSize = 2
	f.start(t)
	if f.Users() != 6 {
		t.Errorf("%d users after the first list", f.Users())
	}
	pages.Store(6) // so that the next list fails on its second page
	if err := f.source.Resync(t.Context()); err != nil || f.Users() != 6 {
		t.Errorf("%v, %d users", err, f.Users())
	}
}

// TestAPIServerAway: what was known stays known while the API server is frozen or gone, and news comes in
// once it is back.
func TestAPIServerAway(t *testing.T) {
	env := testenv.New(t)
	namespace := env.Namespace(t)
	create(t, env, testenv.User(namespace, "before", server))
	create(t, env, testenv.Server(namespace, server))
	f := follow(t, env, namespace)
	api := env.ControlPlane.APIServer()
	for name, tc := range map[string]struct{ away, back func() error }{
		"frozen": {api.Pause, api.Resume},
		"gone":   {api.Kill, func() error { return api.Restart(t.Context()) }},
	} {
		t.Run(name, func(t *testing.T) {
			if err := tc.away(); err != nil {
				t.Fatal(err)
			}
			testenv.Eventually(t, soon, func() error { return silent(t, env, namespace) })
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer cancel()
			if err := f.source.Resync(ctx); err == nil {
				t.Error("it claims to have listed")
			}
			_, before := f.Observed()
			if err := errors.Join(f.knows("before", true)(), f.knows(name, false)()); err != nil {
				t.Error(err)
			}
			if f.Policy() == nil {
				t.Error("the policy is forgotten")
			}
			if err := tc.back(); err != nil {
				t.Fatal(err)
			}
			user := create(t, env, testenv.User(namespace, name, server))
			testenv.Eventually(t, time.Minute, func() error { return f.hasObserved(user.ResourceVersion) })
			if err := errors.Join(f.knows(name, true)(), f.knows("before", true)(), f.source.Resync(t.Context())); err != nil {
				t.Error(err)
			}
			if _, after := f.Observed(); !after.After(before) {
				t.Errorf("confirmed at %s, before it was away at %s", after, before)
			}
		})
	}
}

// silent says whether the API server answers no more: a signal takes a moment to stop a process.
func silent(t *testing.T, env *testenv.Env, namespace string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := env.Client.List(ctx, &v1alpha1.RelayServerList{}, client.InNamespace(namespace)); err == nil {
		return errors.New("it answers")
	}
	return nil
}
