package controllers

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/liveness"
)

const (
	// lossShown is for how long after a loss the history is said to be incomplete. lostRecords stays.
	lossShown = 24 * time.Hour
	// maxTold bounds what a Lease is believed.
	maxTold = 1 << 40
)

// historyFindings are what the Leases of a server's sidecars tell of their records.
type historyFindings struct {
	// on says that a live sidecar has a history server.
	on      bool
	waiting int64
	// lost is what each sidecar has lost, by the name of its Lease, also of one that has just run out.
	lost []v1alpha1.SidecarLoss
}

// note reads one Lease.
func (h *historyFindings) note(s *liveness.Sidecar) {
	lost, on := told(s, liveness.AnnotationHistoryLost)
	if !on {
		return
	}
	h.lost = append(h.lost, v1alpha1.SidecarLoss{Lease: s.Lease.Name, LostRecords: lost})
	if s.Live {
		waiting, _ := told(s, liveness.AnnotationHistoryWaiting)
		h.on = true
		h.waiting += waiting
	}
}

// told is a number that a Lease tells.
func told(s *liveness.Sidecar, annotation string) (n int64, ok bool) {
	text, ok := s.Lease.Annotations[annotation]
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseInt(text, 10, 64)
	return min(max(n, 0), maxTold), err == nil
}

// reportHistory adds what was lost since the Leases were last read, and says how it stands. What a sidecar has lost is
// counted by the name of its Lease, which no other process has: it stays counted when the Lease is gone.
func (r *serverReconciler) reportHistory(server *v1alpha1.RelayServer, found *serverFindings) {
	h := &found.history
	now := metav1.NewTime(r.clock.Now())
	status := server.Status.History
	if status == nil {
		if !h.on {
			return
		}
		status = &v1alpha1.HistoryStatus{}
		server.Status.History = status
	}
	if fresh := addLosses(status, h.lost); fresh > 0 {
		status.LastLossTime = &now
	}
	status.WaitingRecords = min(h.waiting, maxTold)
	switch {
	case h.on:
		set(&server.Status.Conditions, server.Generation, now, historyComplete(status, now.Time))
	case found.liveSidecars > 0: // those that there are keep no history
		meta.RemoveStatusCondition(&server.Status.Conditions, v1alpha1.ConditionHistoryComplete)
	}
}

// addLosses counts what each sidecar has lost since it was last counted, and says how much that was.
func addLosses(status *v1alpha1.HistoryStatus, lost []v1alpha1.SidecarLoss) (fresh int64) {
	var counted []v1alpha1.SidecarLoss
	for _, l := range lost {
		before := int64(0)
		if i := slices.IndexFunc(status.Sidecars, func(c v1alpha1.SidecarLoss) bool { return c.Lease == l.Lease }); i >= 0 {
			before = status.Sidecars[i].LostRecords
		}
		l.LostRecords = max(l.LostRecords, before)
		fresh += l.LostRecords - before
		if l.LostRecords > 0 {
			counted = append(counted, l)
		}
	}
	slices.SortFunc(counted, func(a, b v1alpha1.SidecarLoss) int { return strings.Compare(a.Lease, b.Lease) })
	status.Sidecars = counted[:min(len(counted), v1alpha1.MaxSidecarLosses)]
	status.LostRecords = min(status.LostRecords+fresh, maxTold)
	return fresh
}

// lossUntil is when a loss is old enough not to be shown any more; zero for none.
func lossUntil(status *v1alpha1.HistoryStatus) time.Time {
	if status == nil || status.LastLossTime == nil {
		return time.Time{}
	}
	return status.LastLossTime.Add(lossShown)
}

func historyComplete(status *v1alpha1.HistoryStatus, now time.Time) condition {
	switch {
	case now.Before(lossUntil(status)):
		return isNot(v1alpha1.ConditionHistoryComplete, v1alpha1.ReasonRecordsLost, fmt.Sprintf(
			"%d records of connection attempts are lost, the last at %s or a little before; the sidecar's log and "+
				"tegata_history_lost_records_total say why: see docs/history-recording.md",
			status.LostRecords, status.LastLossTime.UTC().Format(time.RFC3339)))
	case status.WaitingRecords > 0:
		return isNot(v1alpha1.ConditionHistoryComplete, v1alpha1.ReasonHistoryServerAway,
			"records have been waiting in the sidecars' spools for more than five minutes: the history server is away, "+
				"refuses the sidecars, or does not keep up; the sidecar's log says which. None of them is lost yet")
	}
	return is(v1alpha1.ConditionHistoryComplete, v1alpha1.ReasonHistoryComplete, "what is recorded reaches the history server")
}

// sameHistory says whether two states of a Lease tell the same of records.
func sameHistory(before, after metav1.Object) bool {
	for _, annotation := range []string{liveness.AnnotationHistoryLost, liveness.AnnotationHistoryWaiting} {
		if before.GetAnnotations()[annotation] != after.GetAnnotations()[annotation] {
			return false
		}
	}
	return true
}
