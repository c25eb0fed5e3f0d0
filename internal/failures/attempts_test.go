package failures

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/authn"
	"github.com/tegata-dev/tegata/internal/decision"
)

// TestFailureOfAnAttempt: what is known of it is told, and what is not stays empty.
func TestFailureOfAnAttempt(t *testing.T) {
	at := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	denied := authn.Result{Outcome: decision.Outcome{Verdict: decision.Deny, Reason: decision.DeviceMismatch, Slot: decision.SlotPC}}
	told := v1alpha1.LoginFailure{
		Reason: "DeviceMismatch", FirstTime: metav1.NewTime(at), LastTime: metav1.NewTime(at), Count: 1, Slot: "pc", Program: "viewer",
		Sidecar: "pod-1", CorrelationID: "01K9XXXXXX0000000000000000",
	}
	attempt := authn.Attempt{ID: "01K9XXXXXX0000000000000000", Program: decision.ProgramViewer}
	full, all := attempt, told
	full.Source, full.MAC = netip.MustParseAddr("192.0.2.7"), decision.MAC{0, 0, 0x5e, 0, 0x53, 1}
	all.SourceAddress, all.MACAddress, all.Digest = "192.0.2.7", full.MAC.String(), "k1:laptop"
	for name, tc := range map[string]struct {
		event authn.Event
		want  v1alpha1.LoginFailure
	}{
		"all of it":          {authn.Event{Attempt: &full, Device: decision.Device{Digests: []decision.Digest{"k1:laptop", "k0:laptop"}}}, all},
		"nothing but a name": {authn.Event{Attempt: &attempt}, told},
	} {
		t.Run(name, func(t *testing.T) {
			tc.event.Result, tc.event.Time = denied, at
			if diff := cmp.Diff(tc.want, Attempts{Sidecar: "pod-1"}.failure(tc.event, "pc")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
