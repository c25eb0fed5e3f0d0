package endings_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/endings"
	"github.com/tegata-dev/tegata/internal/session"
	"github.com/tegata-dev/tegata/internal/statuspatch"
	"github.com/tegata-dev/tegata/internal/testenv"
)

func TestMain(m *testing.M) { os.Exit(testenv.Run(m)) }

const soon = 20 * time.Second

// world is a user of a real API server, and a Writer.
type world struct {
	*endings.Writer
	t       *testing.T
	env     *testenv.Env
	user    *v1alpha1.RelayUser
	patches atomic.Int32
	down    atomic.Bool
	failed  atomic.Int32
	asked   atomic.Int32 // for a user's name
	known   atomic.Bool  // that name is
	stop    func()
}

var errDown = errors.New("connection refused")

func newWorld(t *testing.T) *world {
	t.Helper()
	env := testenv.Shared(t)
	w := &world{t: t, env: env, user: testenv.User(env.Namespace(t), "hanako", "asp1")}
	if err := env.Client.Create(t.Context(), w.user); err != nil {
		t.Fatal(err)
	}
	c, err := client.NewWithWatch(env.Config, client.Options{Scheme: env.Scheme})
	if err != nil {
		t.Fatal(err)
	}
	w.Writer = endings.New(interceptor.NewClient(c, interceptor.Funcs{
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, obj client.Object, patch client.Patch, opts ...client.SubResourcePatchOption) error {
			if w.down.Load() {
				w.failed.Add(1)
				return errDown
			}
			w.patches.Add(1)
			return c.SubResource(sub).Patch(ctx, obj, patch, opts...)
		},
	}), w.user.Namespace, w.nameOf, logr.Discard())
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { w.Run(ctx) })
	w.stop = func() {
		cancel()
		wg.Wait()
	}
	t.Cleanup(w.stop)
	return w
}

func (w *world) nameOf(uid string) string {
	w.asked.Add(1)
	if w.known.Load() && uid == string(w.user.UID) {
		return w.user.Name
	}
	return ""
}

func (w *world) end(ids ...string) {
	for _, id := range ids {
		w.End(w.user.Name, string(w.user.UID), id)
	}
}

func (w *world) stored() *v1alpha1.RelayUser {
	w.t.Helper()
	u := &v1alpha1.RelayUser{}
	if err := w.env.Client.Get(w.t.Context(), client.ObjectKeyFromObject(w.user), u); err != nil {
		w.t.Fatal(err)
	}
	return u
}

// ended says whether the stored status ends all of the sessions.
func (w *world) ended(ids ...string) func() error {
	return func() error {
		status := w.stored().Status.EndedSessions
		e := session.Ended{IDs: status.IDs, UpTo: status.UpTo}
		for _, id := range ids {
			if !e.Has(id) {
				return fmt.Errorf("%s is not ended in %+v", id, status)
			}
		}
		return nil
	}
}

func newIDs(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = session.NewID(time.Now().Add(time.Duration(i-n) * time.Second))
	}
	return ids
}

// TestEndsAreWrittenTogether: and what others have written meanwhile stays.
func TestEndsAreWrittenTogether(t *testing.T) {
	w := newWorld(t)
	ids := newIDs(10)
	w.end(ids[:5]...)
	testenv.Eventually(t, soon, w.ended(ids[:5]...))
	if n := w.patches.Load(); n != 1 {
		t.Errorf("%d writes, want 1", n)
	}
	if _, err := statuspatch.Apply(t.Context(), w.env.Client, w.stored(), func(u *v1alpha1.RelayUser) {
		u.Status.FailureCount = 7
		u.Status.EndedSessions.IDs = append(u.Status.EndedSessions.IDs, ids[9])
	}); err != nil {
		t.Fatal(err)
	}
	w.end(ids[5:9]...)
	testenv.Eventually(t, soon, w.ended(ids...))
	if got := w.stored().Status; got.FailureCount != 7 || !slices.IsSorted(got.EndedSessions.IDs) {
		t.Errorf("status %+v", got)
	}
}

// TestManyEndsAreBounded: a person who logs in and out without end fills no object and costs few writes.
func TestManyEndsAreBounded(t *testing.T) {
	w := newWorld(t)
	ids := newIDs(1000)
	start := time.Now()
	w.end(ids...)
	testenv.Eventually(t, soon, w.ended(ids...))
	if n := len(w.stored().Status.EndedSessions.IDs); n > v1alpha1.MaxEndedSessions {
		t.Errorf("%d ids are stored", n)
	}
	if n, most := w.patches.Load(), int32(2+time.Since(start)/(100*time.Millisecond)); n > most {
		t.Errorf("%d writes", n)
	}
}

func TestWritesAreTriedAgain(t *testing.T) {
	w := newWorld(t)
	ids := newIDs(2)
	w.down.Store(true)
	w.end(ids[0])
	testenv.Eventually(t, soon, func() error {
		if w.failed.Load() < 2 {
			return errors.New("not tried twice yet")
		}
		return nil
	})
	w.end(ids[1])
	w.down.Store(false)
	testenv.Eventually(t, soon, w.ended(ids...))
}

// TestWhatIsPendingAtTheEndIsWritten: a sidecar that stops in order does not forget a logout.
func TestWhatIsPendingAtTheEndIsWritten(t *testing.T) {
	w := newWorld(t)
	ids := newIDs(3)
	w.end(ids...)
	w.stop()
	if err := w.ended(ids...)(); err != nil {
		t.Error(err)
	}
}

// TestUsersWhoAreNotKnownYet: a logout is not lost because the user of the session has not been heard of here.
func TestUsersWhoAreNotKnownYet(t *testing.T) {
	w := newWorld(t)
	ids := newIDs(3)
	w.End("", string(w.user.UID), ids[0])
	w.End("", "uid-of-nobody", ids[2])
	testenv.Eventually(t, soon, func() error {
		if w.asked.Load() < 4 {
			return errors.New("not tried twice yet")
		}
		return nil
	})
	w.End("", string(w.user.UID), ids[1])
	w.known.Store(true)
	testenv.Eventually(t, soon, w.ended(ids[:2]...))
	if w.ended(ids[2])() == nil {
		t.Error("a session of another is ended")
	}
}

// TestUsersWhoAreGone: nothing is written to another of their name.
func TestUsersWhoAreGone(t *testing.T) {
	w := newWorld(t)
	id := newIDs(1)[0]
	w.End(w.user.Name, "uid-of-another", id)
	w.End("nobody", "uid-1", id)
	w.stop()
	if got := w.stored().Status.EndedSessions; len(got.IDs) > 0 || w.patches.Load() > 0 {
		t.Errorf("written: %+v", got)
	}
}
