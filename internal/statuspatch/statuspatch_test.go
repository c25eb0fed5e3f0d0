package statuspatch_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/statuspatch"
	"github.com/tegata-dev/tegata/internal/testenv"
)

// counting counts the patches of status that reach the API server.
func counting(t *testing.T, env *testenv.Env, patches *atomic.Int32) client.Client {
	t.Helper()
	c, err := client.NewWithWatch(env.Config, client.Options{Scheme: env.Scheme})
	if err != nil {
		t.Fatal(err)
	}
	return interceptor.NewClient(c, interceptor.Funcs{
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, obj client.Object, patch client.Patch, opts ...client.SubResourcePatchOption) error {
			patches.Add(1)
			return c.SubResource(sub).Patch(ctx, obj, patch, opts...)
		},
	})
}

func newUser(t *testing.T, env *testenv.Env) *v1alpha1.RelayUser {
	t.Helper()
	user := testenv.User(env.Namespace(t), "hanako", "asp1")
	if err := env.Client.Create(t.Context(), user); err != nil {
		t.Fatal(err)
	}
	return user
}

func read(t *testing.T, env *testenv.Env, user *v1alpha1.RelayUser) *v1alpha1.RelayUser {
	t.Helper()
	stored := &v1alpha1.RelayUser{}
	if err := env.Client.Get(t.Context(), client.ObjectKeyFromObject(user), stored); err != nil {
		t.Fatal(err)
	}
	return stored
}

func TestChangeIsStored(t *testing.T) {
	env := testenv.Shared(t)
	user := newUser(t, env)
	var patches atomic.Int32
	wrote, err := statuspatch.Apply(t.Context(), counting(t, env, &patches), user, func(u *v1alpha1.RelayUser) {
		u.Status.FailureCount = 3
	})
	if !wrote || err != nil || patches.Load() != 1 {
		t.Fatalf("%t, %v, %d patches; want one", wrote, err, patches.Load())
	}
	stored := read(t, env, user)
	if stored.Status.FailureCount != 3 {
		t.Errorf("stored %+v", stored.Status)
	}
	if diff := cmp.Diff(stored, user); diff != "" {
		t.Errorf("the object is not what was stored (-stored +object):\n%s", diff)
	}
}

func TestNoChangeIsNoRequest(t *testing.T) {
	env := testenv.Shared(t)
	for name, mutate := range map[string]func(*v1alpha1.RelayUser){
		"nothing":        func(*v1alpha1.RelayUser) {},
		"the same value": func(u *v1alpha1.RelayUser) { u.Status.FailureCount = 0 },
		"an empty list":  func(u *v1alpha1.RelayUser) { u.Status.Slots = []v1alpha1.SlotStatus{} },
		"there and back": func(u *v1alpha1.RelayUser) { u.Status.FailureCount++; u.Status.FailureCount-- },
		"the same list": func(u *v1alpha1.RelayUser) {
			u.Status.Conditions = append([]metav1.Condition(nil), u.Status.Conditions...)
		},
	} {
		t.Run(name, func(t *testing.T) {
			user := newUser(t, env)
			var patches atomic.Int32
			wrote, err := statuspatch.Apply(t.Context(), counting(t, env, &patches), user, mutate)
			if wrote || err != nil || patches.Load() != 0 {
				t.Errorf("%t, %v, %d patches; want none", wrote, err, patches.Load())
			}
		})
	}
}

// TestConflict: a write on what somebody else has changed since is refused, and nothing of it is stored.
func TestConflict(t *testing.T) {
	env := testenv.Shared(t)
	user := newUser(t, env)
	stale := user.DeepCopy()
	if _, err := statuspatch.Apply(t.Context(), env.Client, user, func(u *v1alpha1.RelayUser) {
		u.Status.Slots = []v1alpha1.SlotStatus{{Slot: v1alpha1.SlotPC, State: v1alpha1.SlotUnregistered}}
	}); err != nil {
		t.Fatal(err)
	}
	wrote, err := statuspatch.Apply(t.Context(), env.Client, stale, func(u *v1alpha1.RelayUser) { u.Status.FailureCount = 9 })
	if !wrote || !apierrors.IsConflict(err) {
		t.Fatalf("%t, %v; want a conflict", wrote, err)
	}
	stored := read(t, env, user)
	if diff := cmp.Diff(user.Status, stored.Status); diff != "" {
		t.Errorf("status (-before +after):\n%s", diff)
	}
}

// TestOnlyStatusChanges: whatever else mutate touches is not written.
func TestOnlyStatusChanges(t *testing.T) {
	env := testenv.Shared(t)
	user := newUser(t, env)
	before := user.DeepCopy()
	_, err := statuspatch.Apply(t.Context(), env.Client, user, func(u *v1alpha1.RelayUser) {
		u.Status.FailureCount = 1
		u.Spec.Suspended = true
		u.Labels = map[string]string{"a": "b"}
		u.Finalizers = []string{"tegata.dev/x"}
	})
	if err != nil {
		t.Fatal(err)
	}
	stored := read(t, env, user)
	if stored.Status.FailureCount != 1 {
		t.Errorf("status %+v", stored.Status)
	}
	if diff := cmp.Diff(before.Spec, stored.Spec); diff != "" {
		t.Errorf("spec (-before +after):\n%s", diff)
	}
	if len(stored.Labels)+len(stored.Finalizers) > 0 || stored.Generation != before.Generation {
		t.Errorf("metadata %+v", stored.ObjectMeta)
	}
}

// TestRemovalIsStored: what mutate takes away is gone, unlike with a patch that only states what is there.
func TestRemovalIsStored(t *testing.T) {
	env := testenv.Shared(t)
	user := newUser(t, env)
	now := metav1.NewTime(time.Now().Truncate(time.Second))
	for _, mutate := range []func(*v1alpha1.RelayUser){
		func(u *v1alpha1.RelayUser) {
			u.Status.LastLoginTime = &now
			u.Status.Slots = []v1alpha1.SlotStatus{{
				Slot: v1alpha1.SlotPC, State: v1alpha1.SlotRegistered,
				Binding: &v1alpha1.Binding{ID: "b", Digest: "k1:d", Kind: v1alpha1.FingerprintOpaque, RegisteredTime: now},
			}}
		},
		func(u *v1alpha1.RelayUser) {
			u.Status.LastLoginTime = nil
			u.Status.Slots[0].Binding = nil
		},
	} {
		if _, err := statuspatch.Apply(t.Context(), env.Client, user, mutate); err != nil {
			t.Fatal(err)
		}
	}
	stored := read(t, env, user)
	want := v1alpha1.RelayUserStatus{ObservedGeneration: user.Status.ObservedGeneration, Slots: []v1alpha1.SlotStatus{{Slot: v1alpha1.SlotPC, State: v1alpha1.SlotRegistered}}}
	if diff := cmp.Diff(want, stored.Status); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
}

func TestErrorNamesTheObject(t *testing.T) {
	env := testenv.Shared(t)
	user := newUser(t, env)
	if err := env.Client.Delete(t.Context(), user.DeepCopy()); err != nil {
		t.Fatal(err)
	}
	_, err := statuspatch.Apply(t.Context(), env.Client, user, func(u *v1alpha1.RelayUser) { u.Status.FailureCount = 1 })
	if !apierrors.IsNotFound(err) {
		t.Fatalf("error %v, want not found", err)
	}
	want := "patch status of *v1alpha1.RelayUser " + user.Namespace + "/hanako: "
	if got := err.Error(); len(got) < len(want) || got[:len(want)] != want {
		t.Errorf("error %q", got)
	}
}
