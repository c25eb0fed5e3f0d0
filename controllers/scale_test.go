package controllers_test

import (
	"encoding/json"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/controllers"
	"github.com/tegata-dev/tegata/internal/binding"
	"github.com/tegata-dev/tegata/internal/testenv"
)

// writesOf counts the writes of the one reset in the namespace, and the size of the largest, from now on.
type writesOf struct {
	n, largest atomic.Int64
	finished   chan struct{}
}

func (w *world) watchResets() *writesOf {
	w.Helper()
	watcher, err := client.NewWithWatch(w.env.Config, client.Options{Scheme: w.env.Scheme})
	w.must(err)
	events, err := watcher.Watch(w.Context(), &v1alpha1.DeviceResetList{}, client.InNamespace(w.namespace))
	w.must(err)
	w.Cleanup(events.Stop)
	writes := &writesOf{finished: make(chan struct{})}
	go func() {
		for event := range events.ResultChan() {
			if event.Type != watch.Modified {
				continue
			}
			writes.n.Add(1)
			if reset, ok := event.Object.(*v1alpha1.DeviceReset); ok {
				body, _ := json.Marshal(reset.Status)
				writes.largest.Store(max(writes.largest.Load(), int64(len(body))))
				if reset.Status.CompletionTime != nil {
					close(writes.finished)
				}
			}
		}
	}()
	return writes
}

func TestResetOfTenThousand(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute or two")
	}
	w := newWorld(t)
	const users = 10_000
	// Of no server, so that the manager has no passwords to make for them; and as the manager leaves them, so
	// that it has nothing else to write when the reset begins.
	w.startManager(controllers.Options{})
	w.create(testenv.User(w.namespace, "model", "none"))
	w.userBecomes("model", v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonServerNotFound, "")
	model := w.user("model").Status

	begin := time.Now()
	w.inParallel(users, func(i int) error {
		user := testenv.User(w.namespace, fmt.Sprintf("employee-%05d", i), "none", inTeam("all"))
		if err := w.env.Client.Create(t.Context(), user); err != nil {
			return err
		}
		before := user.DeepCopy()
		model.DeepCopyInto(&user.Status)
		binding.Bind(&user.Status, v1alpha1.SlotPC, bindingOf(fmt.Sprintf("binding-%05d", i)))
		return w.env.Client.Status().Patch(t.Context(), user, client.MergeFrom(before))
	})
	t.Logf("%d users made in %s", users, time.Since(begin).Round(time.Second))

	writes := w.watchResets()
	begin = time.Now()
	w.create(w.aReset("all", "", onPC, selecting("all", users)))
	select {
	case <-writes.finished:
	case <-time.After(5 * time.Minute):
		t.Fatalf("not complete: %+v", w.reset("all").Status.Conditions)
	}
	w.resetBecomes("all", metav1.ConditionTrue, v1alpha1.ReasonCleared, fmt.Sprintf("cleared %d devices of %d users", users, users))
	t.Logf("reset in %s", time.Since(begin).Round(time.Second))

	// One that notes the first window, one for each window, which notes the next.
	if n := writes.n.Load(); n > users/v1alpha1.MaxNotedBindings+2 {
		t.Errorf("%d writes of the reset, want one a window", n)
	}
	if size := writes.largest.Load(); size >= 64<<10 {
		t.Errorf("the status grew to %d bytes", size)
	}
	t.Logf("%d writes, the largest of %d bytes", writes.n.Load(), writes.largest.Load())
	var list v1alpha1.RelayUserList
	w.must(w.env.Client.List(t.Context(), &list, client.InNamespace(w.namespace), client.MatchingLabels{"team": "all"}))
	for i := range list.Items {
		w.must(slotHolds(&list.Items[i], v1alpha1.SlotPC, ""))
		slot := binding.Find(&list.Items[i].Status, v1alpha1.SlotPC)
		if len(slot.HandledResets) != 1 || len(slot.Revoked) != 1 {
			t.Fatalf("%s: handled %v, revoked %v", list.Items[i].Name, slot.HandledResets, slot.Revoked)
		}
	}
	if len(list.Items) != users {
		t.Errorf("%d users, want %d", len(list.Items), users)
	}
}
