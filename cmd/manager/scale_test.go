package main

import (
	"encoding/json"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/binding"
	"github.com/tegata-dev/tegata/internal/testenv"
)

// writesOf counts the writes of the one reset of a namespace, and the size of the largest.
type writesOf struct {
	n, largest atomic.Int64
	finished   chan struct{}
}

func watchReset(t *testing.T, env *testenv.Env, namespace string) *writesOf {
	t.Helper()
	watcher, err := client.NewWithWatch(env.Config, client.Options{Scheme: env.Scheme})
	if err != nil {
		t.Fatal(err)
	}
	events, err := watcher.Watch(t.Context(), &v1alpha1.DeviceResetList{}, client.InNamespace(namespace))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(events.Stop)
	writes := &writesOf{finished: make(chan struct{})}
	go func() {
		for event := range events.ResultChan() {
			if reset, ok := event.Object.(*v1alpha1.DeviceReset); ok && event.Type == watch.Modified {
				writes.add(reset)
			}
		}
	}()
	return writes
}

func (w *writesOf) add(reset *v1alpha1.DeviceReset) {
	w.n.Add(1)
	body, _ := json.Marshal(reset.Status) //nolint:errchkjson // of a status that was just decoded
	w.largest.Store(max(w.largest.Load(), int64(len(body))))
	if reset.Status.CompletionTime != nil {
		close(w.finished)
	}
}

// model is the status that the manager gives to a user of no server, so that the test can make users about
// whom the manager has nothing to write.
func model(t *testing.T, env *testenv.Env, namespace string) v1alpha1.RelayUserStatus {
	t.Helper()
	user := testenv.User(namespace, "model", "none")
	create(t, env, user)
	testenv.Eventually(t, soon, func() error {
		if err := env.Client.Get(t.Context(), client.ObjectKeyFromObject(user), user); err != nil {
			return err
		}
		if meta.FindStatusCondition(user.Status.Conditions, v1alpha1.ConditionReady) == nil {
			return fmt.Errorf("the manager has not looked at the user")
		}
		return nil
	})
	return user.Status
}

// TestResetOfThousands goes through many windows, and is of more users than a status tells of one by one.
func TestResetOfThousands(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute")
	}
	const users = 2500
	env := testenv.Shared(t)
	namespace := env.Namespace(t)
	startManager(t, env, "--namespace", namespace, "--leader-elect=false")
	status := model(t, env, namespace)
	begin := time.Now()
	inParallel(t, users, func(i int) error {
		user := testenv.User(namespace, fmt.Sprintf("employee-%05d", i), "none", inTeam)
		if err := env.Client.Create(t.Context(), user); err != nil {
			return err
		}
		before := user.DeepCopy()
		status.DeepCopyInto(&user.Status)
		binding.Bind(&user.Status, v1alpha1.SlotPC, device("old-"+user.Name))
		return env.Client.Status().Patch(t.Context(), user, client.MergeFrom(before))
	})
	t.Logf("%d users made in %s", users, time.Since(begin).Round(time.Second))

	writes := watchReset(t, env, namespace)
	begin = time.Now()
	create(t, env, resetOfTeam(namespace, users))
	select {
	case <-writes.finished:
	case <-time.After(6 * time.Minute): // a tenth of that on two idle cores
		t.Fatal("the reset does not come to an end")
	}
	t.Logf("reset in %s by %d writes, the largest of %d bytes", time.Since(begin).Round(time.Second), writes.n.Load(), writes.largest.Load())

	// One that notes the first window, and one for each window, which notes the next.
	if n, limit := writes.n.Load(), int64(users/v1alpha1.MaxNotedBindings+2); n > limit {
		t.Errorf("%d writes of the reset, want %d at most", n, limit)
	}
	if size := writes.largest.Load(); size >= 64<<10 {
		t.Errorf("the status grew to %d bytes", size)
	}
	checkAllCleared(t, env, namespace, users)
}

func checkAllCleared(t *testing.T, env *testenv.Env, namespace string, users int) {
	t.Helper()
	var list v1alpha1.RelayUserList
	if err := env.Client.List(t.Context(), &list, client.InNamespace(namespace), client.MatchingLabels{"team": "all"}); err != nil {
		t.Fatal(err)
	}
	if len(list.Items) != users {
		t.Errorf("%d users, want %d", len(list.Items), users)
	}
	for i := range list.Items {
		slot := binding.Find(&list.Items[i].Status, v1alpha1.SlotPC)
		if slot.Binding != nil || len(slot.HandledResets) != 1 || len(slot.Revoked) != 1 {
			t.Fatalf("%s: %+v", list.Items[i].Name, slot)
		}
	}
	reset := &v1alpha1.DeviceReset{}
	if err := env.Client.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "all"}, reset); err != nil {
		t.Fatal(err)
	}
	if s := reset.Status; int(s.Cleared) != users || int(s.Processed) != users || len(s.Results) != v1alpha1.MaxSlotResults {
		t.Errorf("%d cleared, %d processed, %d results", s.Cleared, s.Processed, len(s.Results))
	}
}

// resetOfTeam frees the PCs of all who are inTeam.
func resetOfTeam(namespace string, limit int32) *v1alpha1.DeviceReset {
	return &v1alpha1.DeviceReset{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "all"},
		Spec: v1alpha1.DeviceResetSpec{
			Selector: &v1alpha1.UserSelector{MatchLabels: map[string]v1alpha1.LabelValue{"team": "all"}},
			MaxUsers: &limit, Slots: []v1alpha1.Slot{v1alpha1.SlotPC},
		},
	}
}

func inTeam(user *v1alpha1.RelayUser) { user.Labels = map[string]string{"team": "all"} }
