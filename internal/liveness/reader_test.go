package liveness

import (
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/util/validation"
)

func TestObservedSidecarHoldsNothingUp(t *testing.T) {
	p := newPair(t)
	p.begin()
	p.wantPending(p.reader, "100", false)
	p.wantPending(p.reader, "101", true)
	p.observed = "101"
	p.renew()
	p.wantPending(p.reader, "101", false)
	p.wantPending(p.reader, "1000", true)
}

// TestManagerNeverTakesALivingSidecarForDead: as long as the sidecar admits people, the manager waits.
func TestManagerNeverTakesALivingSidecarForDead(t *testing.T) {
	p := newPair(t)
	p.begin()
	for range 40 {
		p.pass(time.Second)
		if p.now.Second()%7 == 0 {
			p.renew()
		}
		sidecars, err := p.reader.Sidecars(t.Context(), p.namespace, "asp1")
		if err != nil {
			t.Fatal(err)
		}
		if p.keeper.Fresh() && !sidecars[0].Live {
			t.Fatal("a sidecar that admits people is taken for dead")
		}
	}
	p.pass(2 * staleness)
	p.wantPending(p.reader, "101", false)
	// A manager that has just started knows nothing of when it was renewed.
	restarted := p.newReader()
	p.wantPending(restarted, "101", true)
	p.pass(staleness) // by this clock; the sidecar's may be slower
	p.wantPending(restarted, "101", true)
	p.pass(staleness / maxDrift)
	p.wantPending(restarted, "101", false)
}

// TestPendingSaysWhenToLookAgain: after the first of the sidecars that are waited for may have run out.
func TestPendingSaysWhenToLookAgain(t *testing.T) {
	p := newPair(t)
	p.begin()
	p.wantPending(p.reader, "101", true)
	p.pass(staleness / 4)
	pending, wait, err := p.reader.Pending(t.Context(), p.namespace, "asp1", "101")
	if err != nil || len(pending) != 1 || pending[0].Name != "Pod_1.example" {
		t.Fatalf("pending %+v, %v", pending, err)
	}
	if want := staleness + staleness/maxDrift - staleness/4; wait != want || pending[0].Remaining != want {
		t.Errorf("wait %s, remaining %s, want %s", wait, pending[0].Remaining, want)
	}
	if other, _, err := p.reader.Pending(t.Context(), p.namespace, "asp2", "101"); err != nil || len(other) != 0 {
		t.Errorf("another server waits for %+v, %v", other, err)
	}
	p.reader.Forget(pending[0].Lease.UID)
	if _, again, err := p.reader.Pending(t.Context(), p.namespace, "asp1", "101"); err != nil || again != staleness+staleness/maxDrift {
		t.Errorf("once forgotten it is waited for %s, %v", again, err)
	}
}

func TestLeaseNames(t *testing.T) {
	for identity, want := range map[string]string{
		"relay-7c9d-x1": "asp1-sidecar-relay-7c9d-x1-abc", "Pod_1.example": "asp1-sidecar-pod-1-example-abc",
		"": "asp1-sidecar-unnamed-abc", "...": "asp1-sidecar-unnamed-abc", "端末": "asp1-sidecar-unnamed-abc",
		strings.Repeat("x", 300): "asp1-sidecar-" + strings.Repeat("x", 100) + "-abc",
	} {
		l := newLease("ns", "asp1", identity, "abc")
		if errs := validation.IsDNS1123Subdomain(l.Name); l.Name != want || len(errs) > 0 {
			t.Errorf("%q: %q, want %q, %v", identity, l.Name, want, errs)
		}
	}
	if a, b := NewKeeper(KeeperOptions{Server: "asp1", Identity: "pod"}), NewKeeper(KeeperOptions{Server: "asp1", Identity: "pod"}); a.lease.Name == b.lease.Name {
		t.Errorf("two processes of one pod have the Lease %s", a.lease.Name)
	}
}

func TestGarbageVouchesForNothing(t *testing.T) {
	for _, observed := range []string{"", "0", "abc", "-5", "99999999999999999999x", "0101"} {
		l := &coordinationv1.Lease{}
		l.Annotations = map[string]string{AnnotationObserved: observed}
		if hasObserved(l, "100") {
			t.Errorf("%q vouches for 100", observed)
		}
	}
}

func TestForgedLeaseHoldsUpForAnHourAtMost(t *testing.T) {
	forever := int32(1 << 30)
	if got := duration(&coordinationv1.Lease{Spec: coordinationv1.LeaseSpec{LeaseDurationSeconds: &forever}}); got > time.Hour {
		t.Errorf("a Lease holds resets up for %v", got)
	}
}
