package liveness

import (
	"strconv"
	"testing"
)

// TestLeaseTellsOfRecords: at the first write and at each renewal, as it is then.
func TestLeaseTellsOfRecords(t *testing.T) {
	p := newPair(t)
	lost := 0
	p.keeper.Annotations = func() map[string]string {
		return map[string]string{AnnotationHistoryLost: strconv.Itoa(lost)}
	}
	told := func(want string) {
		t.Helper()
		sidecars, err := p.reader.Sidecars(t.Context(), p.namespace, "asp1")
		if err != nil || len(sidecars) != 1 {
			t.Fatalf("%d sidecars, %v", len(sidecars), err)
		}
		annotations := sidecars[0].Lease.Annotations
		if annotations[AnnotationHistoryLost] != want || annotations[AnnotationObserved] != "100" {
			t.Errorf("annotations %v, want %s lost", annotations, want)
		}
	}
	p.begin()
	told("0")
	lost = 7
	p.pass(staleness / 4)
	p.renew()
	told("7")
}
