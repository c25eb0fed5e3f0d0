package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/binding"
	"github.com/tegata-dev/tegata/internal/statuspatch"
	"github.com/tegata-dev/tegata/internal/testenv"
)

const employees = 300

func employee(i int) string { return fmt.Sprintf("employee-%03d", i) }

func device(id string) v1alpha1.Binding {
	digest := v1alpha1.DeviceDigest("k1:" + (id + "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")[:43])
	return v1alpha1.Binding{ID: id, Digest: digest, Kind: v1alpha1.FingerprintOpaque, RegisteredTime: metav1.Now()}
}

// makeEmployees makes users with a PC each. They are of no server, so that the manager has no passwords to
// make for them.
func makeEmployees(t *testing.T, env *testenv.Env, namespace string) {
	t.Helper()
	inParallel(t, employees, func(i int) error {
		user := testenv.User(namespace, employee(i), "none", inTeam)
		if err := env.Client.Create(t.Context(), user); err != nil {
			return err
		}
		return changeUser(t.Context(), env.Client, client.ObjectKeyFromObject(user), func(u *v1alpha1.RelayUser) {
			binding.Bind(&u.Status, v1alpha1.SlotPC, device("old-"+u.Name))
		})
	})
}

func inParallel(t *testing.T, n int, do func(i int) error) {
	t.Helper()
	var group errgroup.Group
	group.SetLimit(16)
	for i := range n {
		group.Go(func() error { return do(i) })
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
}

func changeUser(ctx context.Context, c client.Client, key client.ObjectKey, mutate func(*v1alpha1.RelayUser)) error {
	for {
		user := &v1alpha1.RelayUser{}
		if err := c.Get(ctx, key, user); err != nil {
			return err
		}
		if _, err := statuspatch.Apply(ctx, c, user, mutate); !apierrors.IsConflict(err) {
			return err
		}
	}
}

// register binds a new PC of every user whose slot is free, as the persons do while the reset goes on. It
// returns how many it bound.
func register(ctx context.Context, c client.Client, namespace string) (int, error) {
	var users v1alpha1.RelayUserList
	if err := c.List(ctx, &users, client.InNamespace(namespace)); err != nil {
		return 0, err
	}
	bound := 0
	for i := range users.Items {
		slot := binding.Find(&users.Items[i].Status, v1alpha1.SlotPC)
		if slot == nil || slot.Binding != nil {
			continue
		}
		_, err := statuspatch.Apply(ctx, c, &users.Items[i], func(u *v1alpha1.RelayUser) {
			binding.Bind(&u.Status, v1alpha1.SlotPC, device("new-"+u.Name))
		})
		switch {
		case err == nil:
			bound++
		case !apierrors.IsConflict(err):
			return bound, err
		}
	}
	return bound, nil
}

func isComplete(ctx context.Context, env *testenv.Env, namespace string) (bool, error) {
	reset := &v1alpha1.DeviceReset{}
	err := env.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "all"}, reset)
	return meta.IsStatusConditionTrue(reset.Status.Conditions, v1alpha1.ConditionComplete), err
}

// TestKilledManagerLeavesNewDevicesAlone kills the manager again and again while it resets 300 users who
// register a new device as soon as they can. Wherever it was stopped, its successor must neither clear a
// slot twice nor leave one out.
func TestKilledManagerLeavesNewDevicesAlone(t *testing.T) {
	env := testenv.Shared(t)
	namespace := env.Namespace(t)
	makeEmployees(t, env, namespace)
	create(t, env, resetOfTeam(namespace, employees))
	manager := startManager(t, env, "--namespace", namespace, "--leader-elect=false")

	ctx, stop := context.WithCancel(t.Context())
	var persons errgroup.Group
	registered := 0
	persons.Go(func() error {
		for ctx.Err() == nil {
			n, err := register(t.Context(), env.Client, namespace)
			if registered += n; err != nil {
				return err
			}
		}
		return nil
	})
	kills := killUntilComplete(t, env, namespace, manager)
	stop()
	if err := persons.Wait(); err != nil {
		t.Fatal(err)
	}
	last, err := register(t.Context(), env.Client, namespace) // those whom the last windows freed
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d kills; %d users registered meanwhile, %d after", kills, registered, last)
	if kills < 3 {
		t.Errorf("the manager was killed %d times only", kills)
	}
	if registered+last != employees {
		t.Errorf("slots were freed %d times, want once for each of %d users", registered+last, employees)
	}
	checkEmployees(t, env, namespace)
}

// killUntilComplete kills the manager at random moments after it has started to work, each time a quarter
// later, so that it comes to an end on slow machines, too.
func killUntilComplete(t *testing.T, env *testenv.Env, namespace string, manager managerProcess) int {
	t.Helper()
	deadline, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	patience := 20 * time.Millisecond
	for kills := 0; ; kills++ {
		timer := time.NewTimer(patience/2 + rand.N(patience))
		select {
		case <-timer.C:
		case <-deadline.Done():
			t.Fatal("the reset does not come to an end")
		}
		complete, err := isComplete(deadline, env, namespace)
		if err != nil {
			t.Fatal(err)
		}
		if complete {
			return kills
		}
		if err := manager.Restart(deadline); err != nil {
			t.Fatal(err)
		}
		patience += patience / 4
	}
}

// checkEmployees holds every user to the new device, one handled reset, and the old device as revoked.
func checkEmployees(t *testing.T, env *testenv.Env, namespace string) {
	t.Helper()
	var users v1alpha1.RelayUserList
	if err := env.Client.List(t.Context(), &users, client.InNamespace(namespace)); err != nil {
		t.Fatal(err)
	}
	for i := range users.Items {
		user := &users.Items[i]
		slot := binding.Find(&user.Status, v1alpha1.SlotPC)
		if slot.Binding == nil || slot.Binding.ID != "new-"+user.Name {
			t.Errorf("%s holds %+v, want the new device", user.Name, slot.Binding)
		}
		if len(slot.HandledResets) != 1 || slot.HandledResets[0].Outcome != v1alpha1.SlotOutcomeCleared {
			t.Errorf("%s has handled %+v, want one reset that cleared", user.Name, slot.HandledResets)
		}
		if len(slot.Revoked) != 1 || slot.Revoked[0].Digest != device("old-"+user.Name).Digest {
			t.Errorf("%s: revoked are %+v, want the old device", user.Name, slot.Revoked)
		}
	}
	reset := &v1alpha1.DeviceReset{}
	if err := env.Client.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "all"}, reset); err != nil {
		t.Fatal(err)
	}
	if s := reset.Status; s.Cleared != employees || s.Processed != employees || s.Users != employees {
		t.Errorf("%d cleared, %d processed, %d users; want %d of each", s.Cleared, s.Processed, s.Users, employees)
	}
}
