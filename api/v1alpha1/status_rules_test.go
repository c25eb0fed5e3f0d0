package v1alpha1_test

import (
	"fmt"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/api/v1alpha1"
)

// TestStatusBounds: what the manager and the sidecars write is bounded too, whoever has taken them over.
func TestStatusBounds(t *testing.T) {
	k := newKubectl(t)
	k.mustApply("RelayUser", "taro", `{serverRef: {name: asp1}}`, "created")
	for name, tc := range map[string]struct {
		set  func(*v1alpha1.RelayUserStatus)
		want string
	}{
		"too many ended sessions": {
			func(s *v1alpha1.RelayUserStatus) {
				s.EndedSessions.IDs = nil
				for i := range v1alpha1.MaxEndedSessions + 1 {
					s.EndedSessions.IDs = append(s.EndedSessions.IDs, fmt.Sprintf("01%024d", i))
				}
			},
			"status.endedSessions.ids: Too many: 33: must have at most 32 items",
		},
		"an ended session that is none": {
			func(s *v1alpha1.RelayUserStatus) { s.EndedSessions.UpTo = "all" },
			`status.endedSessions.upTo: Invalid value: "all": endedSessions.upTo in body should match '^[0-9A-HJKMNP-TV-Z]{26}$'`,
		},
		"a third slot": {
			func(s *v1alpha1.RelayUserStatus) {
				s.Slots = append(s.Slots, v1alpha1.SlotStatus{Slot: "tablet", State: v1alpha1.SlotReserved})
			},
			"status.slots: Too many: 3: must have at most 2 items",
		},
		"a slot twice": {
			func(s *v1alpha1.RelayUserStatus) { s.Slots[1].Slot = v1alpha1.SlotPC },
			`status.slots[1]: Duplicate value: {"slot":"pc"}`,
		},
		"an unknown state": {
			func(s *v1alpha1.RelayUserStatus) { s.Slots[0].State = "Open" },
			`status.slots[0].state: Unsupported value: "Open": supported values: "Unregistered", "Reserved", "Registered"`,
		},
		"another removed device": {
			func(s *v1alpha1.RelayUserStatus) {
				s.Slots[0].Revoked = append(s.Slots[0].Revoked, s.Slots[0].Revoked[0])
			},
			"status.slots[0].revoked: Too many: 33: must have at most 32 items",
		},
		"another handled reset": {
			func(s *v1alpha1.RelayUserStatus) {
				s.Slots[0].HandledResets = append(s.Slots[0].HandledResets, s.Slots[0].HandledResets[0])
			},
			"status.slots[0].handledResets: Too many: 65: must have at most 64 items",
		},
		"another failure": {
			func(s *v1alpha1.RelayUserStatus) { s.RecentFailures = append(s.RecentFailures, s.RecentFailures[0]) },
			"status.recentFailures: Too many: 51: must have at most 50 items",
		},
		"a long digest": {
			func(s *v1alpha1.RelayUserStatus) { s.RecentFailures[0].Digest += "d" },
			"status.recentFailures[0].digest: Too long: may not be more than 60 bytes",
		},
		"an unknown fingerprint": {
			func(s *v1alpha1.RelayUserStatus) { s.Slots[0].Binding.Kind = "Guess" },
			`status.slots[0].binding.kind: Unsupported value: "Guess": supported values: "Opaque"`,
		},
		"another condition": {
			func(s *v1alpha1.RelayUserStatus) {
				s.Conditions = append(s.Conditions, condition("Further", "Reason", ""))
			},
			"status.conditions: Too many: 9: must have at most 8 items",
		},
	} {
		t.Run(name, func(t *testing.T) {
			stored := get(k.in(t), &v1alpha1.RelayUser{}, "taro")
			before := stored.DeepCopy()
			stored.Status = fullUserStatus()
			tc.set(&stored.Status)
			err := k.env.Client.Status().Patch(t.Context(), stored, client.MergeFrom(before))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("patch: %v, want %q", err, tc.want)
			}
		})
	}
}
