package failures

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tegata-dev/tegata/api/v1alpha1"
)

var noon = time.Date(2026, 11, 15, 12, 0, 0, 0, time.UTC)

func at(seconds int) metav1.Time {
	return metav1.NewTime(noon.Add(time.Duration(seconds) * time.Second))
}

// failure is one at a time in seconds, with a correlation id made of both.
func failure(reason v1alpha1.Reason, source string, seconds int) v1alpha1.LoginFailure {
	return v1alpha1.LoginFailure{
		Reason: reason, FirstTime: at(seconds), LastTime: at(seconds), Count: 1,
		Program: v1alpha1.ProgramViewer, Slot: v1alpha1.SlotPC, SourceAddress: source, Sidecar: "s1",
		CorrelationID: fmt.Sprint(source, "@", seconds),
	}
}

func counted(f v1alpha1.LoginFailure, count int64, first int) v1alpha1.LoginFailure {
	f.Count, f.FirstTime = count, at(first)
	return f
}

const (
	wrong = v1alpha1.ReasonPasswordMismatch
	other = v1alpha1.ReasonDeviceMismatch
)

func TestApply(t *testing.T) {
	for name, tc := range map[string]struct {
		stored    []v1alpha1.LoginFailure
		count     int64
		come      []v1alpha1.LoginFailure
		limit     int
		want      []v1alpha1.LoginFailure
		wantCount int64
	}{
		"the first": {
			come: []v1alpha1.LoginFailure{failure(wrong, "a", 1)}, limit: 10,
			want: []v1alpha1.LoginFailure{failure(wrong, "a", 1)}, wantCount: 1,
		},
		"newest first": {
			stored: []v1alpha1.LoginFailure{failure(wrong, "a", 1)}, count: 1,
			come: []v1alpha1.LoginFailure{failure(wrong, "b", 2), failure(wrong, "c", 3)}, limit: 10,
			want:      []v1alpha1.LoginFailure{failure(wrong, "c", 3), failure(wrong, "b", 2), failure(wrong, "a", 1)},
			wantCount: 3,
		},
		"equal ones are one, at the last's time and id": {
			stored: []v1alpha1.LoginFailure{counted(failure(wrong, "a", 5), 3, 1), failure(wrong, "b", 4)}, count: 4,
			come: []v1alpha1.LoginFailure{failure(wrong, "a", 7), failure(wrong, "a", 8)}, limit: 10,
			want:      []v1alpha1.LoginFailure{counted(failure(wrong, "a", 8), 5, 1), failure(wrong, "b", 4)},
			wantCount: 6,
		},
		"an equal one moves to the front": {
			stored: []v1alpha1.LoginFailure{failure(wrong, "b", 4), failure(wrong, "a", 1)}, count: 2,
			come: []v1alpha1.LoginFailure{failure(wrong, "a", 7)}, limit: 10,
			want:      []v1alpha1.LoginFailure{counted(failure(wrong, "a", 7), 2, 1), failure(wrong, "b", 4)},
			wantCount: 3,
		},
		"another reason is another failure": {
			stored: []v1alpha1.LoginFailure{failure(wrong, "a", 1)}, count: 1,
			come: []v1alpha1.LoginFailure{failure(other, "a", 2)}, limit: 10,
			want: []v1alpha1.LoginFailure{failure(other, "a", 2), failure(wrong, "a", 1)}, wantCount: 2,
		},
		"the oldest makes room, and is still counted": {
			stored: []v1alpha1.LoginFailure{counted(failure(wrong, "b", 4), 20, 4), failure(wrong, "a", 1)}, count: 21,
			come: []v1alpha1.LoginFailure{failure(wrong, "c", 5), failure(wrong, "d", 6)}, limit: 2,
			want:      []v1alpha1.LoginFailure{failure(wrong, "d", 6), failure(wrong, "c", 5)},
			wantCount: 23,
		},
		"more than the limit at once": {
			come:  []v1alpha1.LoginFailure{failure(wrong, "a", 1), failure(wrong, "b", 2), failure(wrong, "c", 3), failure(wrong, "d", 4)},
			limit: 2,
			want:  []v1alpha1.LoginFailure{failure(wrong, "d", 4), failure(wrong, "c", 3)}, wantCount: 4,
		},
		"a late report of something earlier": {
			stored: []v1alpha1.LoginFailure{failure(wrong, "a", 9)}, count: 1,
			come: []v1alpha1.LoginFailure{failure(wrong, "b", 3)}, limit: 10,
			want: []v1alpha1.LoginFailure{failure(wrong, "a", 9), failure(wrong, "b", 3)}, wantCount: 2,
		},
		"a late report of an equal one": {
			stored: []v1alpha1.LoginFailure{failure(wrong, "a", 9)}, count: 1,
			come: []v1alpha1.LoginFailure{failure(wrong, "a", 3)}, limit: 10,
			want: []v1alpha1.LoginFailure{counted(failure(wrong, "a", 9), 2, 3)}, wantCount: 2,
		},
		"a limit that was lowered": {
			stored: []v1alpha1.LoginFailure{failure(wrong, "c", 3), failure(wrong, "b", 2), failure(wrong, "a", 1)}, count: 3,
			come: []v1alpha1.LoginFailure{failure(wrong, "d", 4)}, limit: 2,
			want: []v1alpha1.LoginFailure{failure(wrong, "d", 4), failure(wrong, "c", 3)}, wantCount: 4,
		},
	} {
		t.Run(name, func(t *testing.T) {
			status := v1alpha1.RelayUserStatus{RecentFailures: tc.stored, FailureCount: tc.count}
			var b batch
			for _, f := range tc.come {
				b.addFailure(f, tc.limit)
			}
			b.apply(&status)
			if diff := cmp.Diff(tc.want, status.RecentFailures); diff != "" {
				t.Errorf("recent failures (-want +got):\n%s", diff)
			}
			if status.FailureCount != tc.wantCount {
				t.Errorf("count %d, want %d", status.FailureCount, tc.wantCount)
			}
			newest := tc.want[0]
			if diff := cmp.Diff(v1alpha1.LastFailure{Reason: newest.Reason, Time: &newest.LastTime}, status.LastFailure); diff != "" {
				t.Errorf("last failure (-want +got):\n%s", diff)
			}
			if status.LastLoginTime != nil {
				t.Errorf("last login %s", status.LastLoginTime)
			}
		})
	}
}

// TestEachFieldTellsFailuresApart: only times, count and correlation id may differ within one entry.
func TestEachFieldTellsFailuresApart(t *testing.T) {
	for name, change := range map[string]func(*v1alpha1.LoginFailure){
		"reason":  func(f *v1alpha1.LoginFailure) { f.Reason = other },
		"slot":    func(f *v1alpha1.LoginFailure) { f.Slot = v1alpha1.SlotMobile },
		"program": func(f *v1alpha1.LoginFailure) { f.Program = v1alpha1.ProgramClient },
		"source":  func(f *v1alpha1.LoginFailure) { f.SourceAddress = "b" },
		"mac":     func(f *v1alpha1.LoginFailure) { f.MACAddress = "00:11:22:aa:bb:cc" },
		"digest":  func(f *v1alpha1.LoginFailure) { f.Digest = "k1:x" },
		"sidecar": func(f *v1alpha1.LoginFailure) { f.Sidecar = "s2" },
	} {
		t.Run(name, func(t *testing.T) {
			changed := failure(wrong, "a", 2)
			change(&changed)
			var b batch
			b.addFailure(failure(wrong, "a", 1), 10)
			b.addFailure(changed, 10)
			if len(b.failures) != 2 {
				t.Errorf("%d entries, want 2", len(b.failures))
			}
		})
	}
}

// TestBatchIsBounded: a storm of distinct failures holds no more memory than the limit, and each counts.
func TestBatchIsBounded(t *testing.T) {
	var b batch
	for i := range 10_000 {
		b.addFailure(failure(wrong, fmt.Sprint(i), i), 10)
	}
	if len(b.failures) != 10 || cap(b.failures) > 64 || b.count != 10_000 {
		t.Errorf("%d entries, room for %d, count %d", len(b.failures), cap(b.failures), b.count)
	}
}

// TestTakenBack: a batch that could not be stored joins what has come since.
func TestTakenBack(t *testing.T) {
	var older, newer batch
	older.addFailure(failure(wrong, "a", 1), 2)
	older.addFailure(failure(wrong, "b", 2), 2)
	older.addFailure(failure(wrong, "c", 3), 2)
	older.addLogin(v1alpha1.SlotPC, "b1", noon)
	older.addLogin(v1alpha1.SlotMobile, "m1", noon)
	newer.addFailure(failure(wrong, "b", 9), 2)
	newer.addLogin(v1alpha1.SlotPC, "b2", noon.Add(time.Second))
	newer.add(&older)

	if diff := cmp.Diff([]v1alpha1.LoginFailure{counted(failure(wrong, "b", 9), 2, 2), failure(wrong, "c", 3)}, newer.failures); diff != "" {
		t.Errorf("failures (-want +got):\n%s", diff)
	}
	if newer.count != 4 || !newer.lastLogin.Equal(noon.Add(time.Second)) {
		t.Errorf("count %d, last login %s", newer.count, newer.lastLogin)
	}
	want := map[v1alpha1.Slot]seen{v1alpha1.SlotPC: {"b2", noon.Add(time.Second)}, v1alpha1.SlotMobile: {"m1", noon}}
	if diff := cmp.Diff(want, newer.seen, cmp.AllowUnexported(seen{})); diff != "" {
		t.Errorf("seen (-want +got):\n%s", diff)
	}
	var empty batch
	empty.add(&older)
	if diff := cmp.Diff(older, empty, cmp.AllowUnexported(batch{}, seen{})); diff != "" {
		t.Errorf("taken back by an empty one (-want +got):\n%s", diff)
	}
}

func TestApplyLogin(t *testing.T) {
	earlier, later := at(-60), at(60)
	for name, tc := range map[string]struct {
		stored   *metav1.Time
		wantTime metav1.Time
	}{
		"the first":                   {nil, at(0)},
		"a later one":                 {&earlier, at(0)},
		"another sidecar's was later": {&later, later},
	} {
		t.Run(name, func(t *testing.T) {
			status := v1alpha1.RelayUserStatus{
				LastLoginTime: tc.stored, FailureCount: 4, RecentFailures: []v1alpha1.LoginFailure{failure(wrong, "a", 1)},
				Slots: []v1alpha1.SlotStatus{{Slot: v1alpha1.SlotPC, State: v1alpha1.SlotRegistered, Binding: &v1alpha1.Binding{ID: "b1"}}},
			}
			var b batch
			b.addLogin(v1alpha1.SlotPC, "b1", noon)
			b.apply(&status)
			if !status.LastLoginTime.Equal(&tc.wantTime) {
				t.Errorf("last login %s, want %s", status.LastLoginTime, tc.wantTime)
			}
			if seen := status.Slots[0].Binding.LastSeenTime; seen == nil || !seen.Time.Equal(noon) {
				t.Errorf("last seen %s", seen)
			}
			if status.FailureCount != 4 || len(status.RecentFailures) != 1 {
				t.Errorf("failures %+v", status)
			}
		})
	}
}

// TestLanded: a batch is recognised in what is stored by its newest failure, whatever came on top since.
func TestLanded(t *testing.T) {
	var b batch
	b.addFailure(failure(wrong, "a", 1), 10)
	b.addFailure(failure(wrong, "b", 2), 10)
	status := v1alpha1.RelayUserStatus{}
	if b.landed(&status) {
		t.Error("landed in an empty status")
	}
	b.apply(&status)
	var next batch
	next.addFailure(failure(other, "c", 3), 10)
	next.apply(&status)
	if !b.landed(&status) || !next.landed(&status) {
		t.Error("not recognised")
	}
	var another batch
	another.addFailure(failure(wrong, "b", 4), 10)
	if another.landed(&status) {
		t.Error("an equal failure of another time is taken for it")
	}
	var logins batch
	logins.addLogin("", "", noon)
	if logins.landed(&status) {
		t.Error("a batch of logins is taken for landed: it is not counted, so it may be written twice")
	}
}
