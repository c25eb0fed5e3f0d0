package controllers

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tegata-dev/tegata/api/v1alpha1"
)

// TestLossIsShownForADay: then the history is complete again, and the number stays.
func TestLossIsShownForADay(t *testing.T) {
	at := time.Date(2026, 11, 15, 10, 17, 0, 0, time.UTC)
	lost := metav1.NewTime(at)
	for name, tc := range map[string]struct {
		status v1alpha1.HistoryStatus
		after  time.Duration
		want   string
	}{
		"nothing lost":            {v1alpha1.HistoryStatus{}, 0, v1alpha1.ReasonHistoryComplete},
		"lost":                    {v1alpha1.HistoryStatus{LostRecords: 1, LastLossTime: &lost}, time.Second, v1alpha1.ReasonRecordsLost},
		"lost, and others wait":   {v1alpha1.HistoryStatus{LostRecords: 1, LastLossTime: &lost, WaitingRecords: 5}, time.Second, v1alpha1.ReasonRecordsLost},
		"lost a day ago":          {v1alpha1.HistoryStatus{LostRecords: 1, LastLossTime: &lost}, 24 * time.Hour, v1alpha1.ReasonHistoryComplete},
		"lost a day ago, waiting": {v1alpha1.HistoryStatus{LostRecords: 1, LastLossTime: &lost, WaitingRecords: 5}, 24 * time.Hour, v1alpha1.ReasonHistoryServerAway},
	} {
		t.Run(name, func(t *testing.T) {
			if got := historyComplete(&tc.status, at.Add(tc.after)); got.Reason != tc.want {
				t.Errorf("%s, want %s", got.Reason, tc.want)
			}
		})
	}
}

// TestLossesAreCountedOnce, however often the Leases are read, and although one disappears and its name comes back.
func TestLossesAreCountedOnce(t *testing.T) {
	status := &v1alpha1.HistoryStatus{}
	for i, tc := range []struct {
		told []v1alpha1.SidecarLoss
		want int64
	}{
		{[]v1alpha1.SidecarLoss{{Lease: "b", LostRecords: 2}, {Lease: "a", LostRecords: 1}}, 3},
		{[]v1alpha1.SidecarLoss{{Lease: "a", LostRecords: 1}, {Lease: "b", LostRecords: 2}}, 3},
		{[]v1alpha1.SidecarLoss{{Lease: "a", LostRecords: 4}, {Lease: "b", LostRecords: 1}}, 6},
		{[]v1alpha1.SidecarLoss{{Lease: "b", LostRecords: 2}}, 6},
		{nil, 6},
		{[]v1alpha1.SidecarLoss{{Lease: "c", LostRecords: 0}}, 6},
	} {
		addLosses(status, tc.told)
		if status.LostRecords != tc.want || len(status.Sidecars) > len(tc.told) {
			t.Errorf("step %d: %+v, want %d", i, status, tc.want)
		}
	}
	if len(status.Sidecars) != 0 {
		t.Errorf("kept %+v of sidecars that lost nothing", status.Sidecars)
	}
}
