package binding_test

import (
	"context"
	"errors"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/binding"
	"github.com/tegata-dev/tegata/internal/decision"
	"github.com/tegata-dev/tegata/internal/directory"
	"github.com/tegata-dev/tegata/internal/statuspatch"
	"github.com/tegata-dev/tegata/internal/testenv"
)

// patchFunc stands in front of the patches of status; next sends one on.
type patchFunc func(ctx context.Context, next func(context.Context) error) error

func patching(t *testing.T, env *testenv.Env, namespace string, f patchFunc) *binding.Enroller {
	t.Helper()
	c, err := client.NewWithWatch(env.Config, client.Options{Scheme: env.Scheme})
	if err != nil {
		t.Fatal(err)
	}
	return &binding.Enroller{Namespace: namespace, User: directory.DecisionUser, Client: interceptor.NewClient(c, interceptor.Funcs{
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, obj client.Object, patch client.Patch, opts ...client.SubResourcePatchOption) error {
			return f(ctx, func(ctx context.Context) error { return c.SubResource(sub).Patch(ctx, obj, patch, opts...) })
		},
	})}
}

func newUser(t *testing.T, env *testenv.Env) *v1alpha1.RelayUser {
	t.Helper()
	user := testenv.User(env.Namespace(t), "hanako", "asp1")
	create(t, env, user)
	return user
}

func change(t *testing.T, env *testenv.Env, user *v1alpha1.RelayUser, mutate func(*v1alpha1.RelayUserStatus)) {
	t.Helper()
	u := &v1alpha1.RelayUser{}
	if err := env.Client.Get(t.Context(), client.ObjectKeyFromObject(user), u); err != nil {
		t.Fatal(err)
	}
	if _, err := statuspatch.Apply(t.Context(), env.Client, u, func(u *v1alpha1.RelayUser) { mutate(&u.Status) }); err != nil {
		t.Fatal(err)
	}
}

func TestEnrollStores(t *testing.T) {
	env := testenv.Shared(t)
	user := newUser(t, env)
	var patches atomic.Int32
	e := patching(t, env, user.Namespace, func(ctx context.Context, next func(context.Context) error) error {
		patches.Add(1)
		return next(ctx)
	})
	r := request(user, decision.SlotPC, "laptop")
	r.Time, r.Source = noon, netip.MustParseAddr("2001:db8::1")
	outcome, err := e.Enroll(t.Context(), r)
	if want := (decision.Outcome{Verdict: decision.Enroll, Slot: decision.SlotPC}); outcome.Outcome != want || err != nil {
		t.Fatalf("%+v, %v", outcome, err)
	}
	got := stored(t, env, user, v1alpha1.SlotPC)
	want := &v1alpha1.Binding{Digest: "k1:laptop", Kind: v1alpha1.FingerprintOpaque, RegisteredTime: atNoon, RegisteredFrom: "2001:db8::1"}
	if outcome.BindingID == "" || outcome.BindingID != got.ID {
		t.Errorf("answered binding %q, stored is %q", outcome.BindingID, got.ID)
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(v1alpha1.Binding{}, "ID"), cmpopts.EquateApproxTime(0)); diff != "" {
		t.Errorf("binding (-want +got):\n%s", diff)
	}
	if len(got.ID) != 26 || patches.Load() != 1 {
		t.Errorf("id %q, %d writes; want one", got.ID, patches.Load())
	}
}

// TestEnrollJudgesTheStoredUser: what the sidecar has not seen yet counts.
func TestEnrollJudgesTheStoredUser(t *testing.T) {
	env := testenv.Shared(t)
	for name, tc := range map[string]struct {
		spec   func(*v1alpha1.RelayUser)
		status func(*v1alpha1.RelayUserStatus)
		want   decision.Outcome
	}{
		"suspended": {
			spec: func(u *v1alpha1.RelayUser) { u.Spec.Suspended = true },
			want: decision.Outcome{Reason: decision.UserSuspended},
		},
		"another device is bound": {
			status: func(s *v1alpha1.RelayUserStatus) { binding.Bind(s, v1alpha1.SlotPC, *bound("b1", tablet)) },
			want:   decision.Outcome{Reason: decision.DeviceMismatch},
		},
		"this device is bound": {
			status: func(s *v1alpha1.RelayUserStatus) { binding.Bind(s, v1alpha1.SlotPC, *bound("b1", laptop)) },
			want:   decision.Outcome{Verdict: decision.Allow},
		},
		"reserved for another": {
			status: func(s *v1alpha1.RelayUserStatus) { s.Slots = []v1alpha1.SlotStatus{pcSlot(reservedFor(tablet))} },
			want:   decision.Outcome{Reason: decision.DeviceNotRegistered},
		},
		"reserved for this device": {
			status: func(s *v1alpha1.RelayUserStatus) { s.Slots = []v1alpha1.SlotStatus{pcSlot(reservedFor(laptop))} },
			want:   decision.Outcome{Verdict: decision.Enroll},
		},
		"revoked": {
			status: func(s *v1alpha1.RelayUserStatus) { s.Slots = []v1alpha1.SlotStatus{pcSlot(revoked(laptop))} },
			want:   decision.Outcome{Reason: decision.DeviceRevoked},
		},
	} {
		t.Run(name, func(t *testing.T) {
			user := newUser(t, env)
			r := request(user, decision.SlotPC, "laptop")
			if tc.spec != nil {
				tc.spec(user)
				if err := env.Client.Update(t.Context(), user); err != nil {
					t.Fatal(err)
				}
			}
			if tc.status != nil {
				change(t, env, user, tc.status)
			}
			before := stored(t, env, user, v1alpha1.SlotPC)
			got, err := newEnroller(t, env, user.Namespace).Enroll(t.Context(), r)
			if got.Outcome != tc.want || err != nil {
				t.Errorf("%+v, %v; want %+v", got, err, tc.want)
			}
			after := stored(t, env, user, v1alpha1.SlotPC)
			if diff := cmp.Diff(before, after); diff != "" && tc.want.Verdict != decision.Enroll {
				t.Errorf("binding (-before +after):\n%s", diff)
			}
		})
	}
}

var errLost = errors.New("connection reset by peer")

// TestLostAnswer: a write whose answer was lost counts once, and is reported as what it was.
func TestLostAnswer(t *testing.T) {
	env := testenv.Shared(t)
	timeout := apierrors.NewTimeoutError("too slow", 0)
	for name, tc := range map[string]struct {
		stored bool
		answer error
		// between runs after the lost answer, before the sidecar looks again.
		between func(*v1alpha1.RelayUserStatus)
		want    decision.Outcome
	}{
		"stored, connection lost":     {true, errLost, nil, decision.Outcome{Verdict: decision.Enroll}},
		"stored, timed out":           {true, timeout, nil, decision.Outcome{Verdict: decision.Enroll}},
		"not stored, connection lost": {false, errLost, nil, decision.Outcome{Verdict: decision.Enroll}},
		"not stored, timed out":       {false, timeout, nil, decision.Outcome{Verdict: decision.Enroll}},
		"stored, and seen by another login": {
			true, errLost, func(s *v1alpha1.RelayUserStatus) { s.FailureCount++ }, decision.Outcome{Verdict: decision.Enroll},
		},
		"not stored, and another won": {
			false, errLost, func(s *v1alpha1.RelayUserStatus) { binding.Bind(s, v1alpha1.SlotPC, *bound("b9", tablet)) },
			decision.Outcome{Reason: decision.DeviceMismatch},
		},
		"stored, and reset meanwhile": {
			true, errLost, func(s *v1alpha1.RelayUserStatus) {
				reset(func(r *binding.Release) { r.BindingID = s.Slots[0].Binding.ID }).Apply(s)
			}, decision.Outcome{Reason: decision.DeviceRevoked},
		},
	} {
		t.Run(name, func(t *testing.T) {
			user := newUser(t, env)
			lost := false
			var first *v1alpha1.Binding
			e := patching(t, env, user.Namespace, func(ctx context.Context, next func(context.Context) error) error {
				if lost {
					return next(ctx)
				}
				lost = true
				if tc.stored {
					if err := next(ctx); err != nil {
						t.Error(err)
					}
				}
				first = stored(t, env, user, v1alpha1.SlotPC)
				if tc.between != nil {
					change(t, env, user, tc.between)
				}
				return tc.answer
			})
			got, err := e.Enroll(t.Context(), request(user, decision.SlotPC, "laptop"))
			if got.Outcome != tc.want || err != nil {
				t.Errorf("%+v, %v; want %+v", got, err, tc.want)
			}
			last := stored(t, env, user, v1alpha1.SlotPC)
			if got.Verdict == decision.Enroll && (last == nil || last.Digest != laptop) {
				t.Errorf("stored %+v", last)
			}
			if tc.stored && got.Verdict == decision.Enroll && last.ID != first.ID {
				t.Errorf("registered twice: %s, %s", first.ID, last.ID)
			}
		})
	}
}

// TestUserGone: an enrolment is for one RelayUser object, not for its name.
func TestUserGone(t *testing.T) {
	env := testenv.Shared(t)
	user := newUser(t, env)
	r := request(user, decision.SlotPC, "laptop")
	if err := env.Client.Delete(t.Context(), user); err != nil {
		t.Fatal(err)
	}
	e := newEnroller(t, env, user.Namespace)
	if outcome, err := e.Enroll(t.Context(), r); !apierrors.IsNotFound(err) || outcome.Verdict != decision.Deny {
		t.Errorf("deleted: %+v, %v", outcome, err)
	}
	again := testenv.User(user.Namespace, user.Name, "asp1")
	if err := env.Client.Create(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	if outcome, err := e.Enroll(t.Context(), r); !errors.Is(err, binding.ErrUserGone) || outcome.Verdict != decision.Deny {
		t.Errorf("made anew: %+v, %v", outcome, err)
	}
	if got := stored(t, env, again, v1alpha1.SlotPC); got != nil {
		t.Errorf("the new user is bound: %+v", got)
	}
}

// TestNobodyEnrolsBeforeTheManagerHasLooked: of a user whose status has no slots, it may be that they were lost.
func TestNobodyEnrolsBeforeTheManagerHasLooked(t *testing.T) {
	env := testenv.Shared(t)
	user := newUser(t, env)
	change(t, env, user, func(s *v1alpha1.RelayUserStatus) { *s = v1alpha1.RelayUserStatus{FailureCount: 1} })
	outcome, err := newEnroller(t, env, user.Namespace).Enroll(t.Context(), request(user, decision.SlotPC, "laptop"))
	if want := (decision.Outcome{Reason: decision.ServerUnavailable, Slot: decision.SlotPC}); outcome.Outcome != want || err != nil {
		t.Errorf("%+v, %v; want %+v", outcome, err, want)
	}
	if got := stored(t, env, user, v1alpha1.SlotPC); got != nil {
		t.Errorf("%+v is bound", got)
	}
}

// TestForbidden: what RBAC refuses is refused at once, not tried until the time is over.
func TestForbidden(t *testing.T) {
	env := testenv.Shared(t)
	user := newUser(t, env)
	for name, verbs := range map[string][]string{"may not read": nil, "may not write": {"get"}} {
		t.Run(name, func(t *testing.T) {
			account := map[bool]string{true: "reader", false: "nobody"}[verbs != nil]
			c, err := client.New(env.ServiceAccountConfig(t, user.Namespace, account), client.Options{Scheme: env.Scheme})
			if err != nil {
				t.Fatal(err)
			}
			grant(t, env, user.Namespace, account, verbs)
			e := &binding.Enroller{Client: c, Namespace: user.Namespace, User: directory.DecisionUser}
			if verbs != nil {
				testenv.Eventually(t, 10*time.Second, func() error {
					return c.Get(t.Context(), client.ObjectKeyFromObject(user), &v1alpha1.RelayUser{})
				})
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			outcome, err := e.Enroll(ctx, request(user, decision.SlotPC, "laptop"))
			if !apierrors.IsForbidden(err) || outcome.Verdict != decision.Deny || ctx.Err() != nil {
				t.Errorf("%+v, %v", outcome, err)
			}
		})
	}
}

func grant(t *testing.T, env *testenv.Env, namespace, account string, verbs []string) {
	t.Helper()
	if verbs == nil {
		return
	}
	role := &rbacv1.Role{Rules: []rbacv1.PolicyRule{{
		APIGroups: []string{v1alpha1.GroupVersion.Group}, Resources: []string{"relayusers"}, Verbs: verbs,
	}}}
	bind := &rbacv1.RoleBinding{
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: account}},
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: account},
	}
	for _, object := range []client.Object{role, bind} {
		object.SetNamespace(namespace)
		object.SetName(account)
		if err := env.Client.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
}

// TestEnrollEndsInTime: an API server that never takes the write holds nobody longer than the deadline.
func TestEnrollEndsInTime(t *testing.T) {
	env := testenv.Shared(t)
	resource := schema.GroupResource{Group: v1alpha1.GroupVersion.Group, Resource: "relayusers"}
	for name, f := range map[string]patchFunc{
		"always a conflict": func(context.Context, func(context.Context) error) error {
			return apierrors.NewConflict(resource, "hanako", errors.New("changed"))
		},
		"no answer": func(ctx context.Context, _ func(context.Context) error) error {
			<-ctx.Done()
			return ctx.Err()
		},
	} {
		t.Run(name, func(t *testing.T) {
			user := newUser(t, env)
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			start := time.Now()
			outcome, err := patching(t, env, user.Namespace, f).Enroll(ctx, request(user, decision.SlotPC, "laptop"))
			if err == nil || outcome.Verdict != decision.Deny {
				t.Errorf("%+v, %v", outcome, err)
			}
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("took %s", took)
			}
			if got := stored(t, env, user, v1alpha1.SlotPC); got != nil {
				t.Errorf("stored %+v", got)
			}
		})
	}
}
