package controllers_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/liveness"
	"github.com/tegata-dev/tegata/internal/testenv"
)

// recording is the Lease of a sidecar that has lost records and has others waiting; of one without a history server
// when lost is empty.
func (w *world) recording(name, lost, waiting string) *coordinationv1.Lease {
	now := metav1.NewMicroTime(time.Now())
	lease := &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "asp1-sidecar-" + name, Labels: liveness.Labels("asp1")},
		Spec:       coordinationv1.LeaseSpec{HolderIdentity: &name, LeaseDurationSeconds: new(int32(3600)), RenewTime: &now},
	}
	if lost != "" {
		lease.Annotations = map[string]string{liveness.AnnotationHistoryLost: lost, liveness.AnnotationHistoryWaiting: waiting}
	}
	return lease
}

// historyBecomes waits for what the status says of records.
func (w *world) historyBecomes(want *v1alpha1.HistoryStatus) {
	w.Helper()
	w.eventually(func() error {
		got := w.server().Status.History
		if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(v1alpha1.HistoryStatus{}, "LastLossTime"), cmpopts.EquateEmpty()); diff != "" {
			return fmt.Errorf("history (-want +got):\n%s", diff)
		}
		return nil
	})
}

func TestLostRecordsAreShown(t *testing.T) {
	w := managedWorld(t)
	plain, first, second := w.recording("plain", "", ""), w.recording("first", "0", "0"), w.recording("second", "3", "0")
	w.create(testenv.Server(w.namespace, "asp1"), plain)
	w.serverBecomes(v1alpha1.ConditionSidecarsLive, metav1.ConditionTrue, v1alpha1.ReasonSidecarsLive, "1 sidecar")
	if s := w.server().Status; s.History != nil || meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionHistoryComplete) != nil {
		t.Errorf("without a history server: %+v", s)
	}
	w.create(first)
	w.serverBecomes(v1alpha1.ConditionHistoryComplete, metav1.ConditionTrue, v1alpha1.ReasonHistoryComplete, "")
	w.historyBecomes(&v1alpha1.HistoryStatus{})

	tell := func(lease *coordinationv1.Lease, lost, waiting string) {
		t.Helper()
		edit(w, lease, func(l *coordinationv1.Lease) {
			l.Annotations[liveness.AnnotationHistoryLost], l.Annotations[liveness.AnnotationHistoryWaiting] = lost, waiting
		})
	}
	tell(first, "0", "1200")
	w.serverBecomes(v1alpha1.ConditionHistoryComplete, metav1.ConditionFalse, v1alpha1.ReasonHistoryServerAway, "None of them is lost")
	w.historyBecomes(&v1alpha1.HistoryStatus{WaitingRecords: 1200})

	tell(first, "5", "1200")
	w.create(second)
	w.serverBecomes(v1alpha1.ConditionHistoryComplete, metav1.ConditionFalse, v1alpha1.ReasonRecordsLost, "8 records")
	w.historyBecomes(&v1alpha1.HistoryStatus{LostRecords: 8, WaitingRecords: 1200, Sidecars: []v1alpha1.SidecarLoss{
		{Lease: first.Name, LostRecords: 5}, {Lease: second.Name, LostRecords: 3},
	}})

	// What was lost stays lost when the sidecar is gone, and is counted once. Its successor counts from zero.
	w.delete(second)
	tell(first, "6", "0")
	w.create(w.recording("third", "1", "0"))
	w.historyBecomes(&v1alpha1.HistoryStatus{LostRecords: 10, Sidecars: []v1alpha1.SidecarLoss{
		{Lease: first.Name, LostRecords: 6}, {Lease: "asp1-sidecar-third", LostRecords: 1},
	}})

	// A sidecar that was taken over can say what it likes; it cannot have anything else go wrong.
	tell(first, "999999999999999999999999", "-5")
	tell(first, "9223372036854775807", "many")
	w.historyBecomes(&v1alpha1.HistoryStatus{LostRecords: 1 << 40, Sidecars: []v1alpha1.SidecarLoss{
		{Lease: first.Name, LostRecords: 1 << 40}, {Lease: "asp1-sidecar-third", LostRecords: 1},
	}})

	// While no sidecar lives, what was last known stays.
	w.delete(plain) // first: as the only one alive it would say that nobody records any more
	w.delete(first)
	w.delete(w.recording("third", "", ""))
	w.serverBecomes(v1alpha1.ConditionSidecarsLive, metav1.ConditionFalse, v1alpha1.ReasonNoLiveSidecar, "")
	w.serverBecomes(v1alpha1.ConditionHistoryComplete, metav1.ConditionFalse, v1alpha1.ReasonRecordsLost, "")

	// Once there are sidecars again, and none has a history server, nobody waits for it any more.
	w.create(w.recording("fourth", "", ""))
	w.eventually(func() error {
		if c := meta.FindStatusCondition(w.server().Status.Conditions, v1alpha1.ConditionHistoryComplete); c != nil {
			return fmt.Errorf("condition %+v", c)
		}
		return nil
	})
}
