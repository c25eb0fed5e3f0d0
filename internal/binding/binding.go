// Package binding is the only writer of a RelayUser's status.slots.
//
// Its functions change a status in memory; Enroller stores an enrolment. Whoever stores such a change
// does so under the resourceVersion it was made on (package statuspatch): that compare-and-swap is what
// makes one device win a race for a slot, and a reset clear only what it saw.
package binding

import (
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tegata-dev/tegata/api/v1alpha1"
)

// slotOf finds or adds a slot.
func slotOf(status *v1alpha1.RelayUserStatus, slot v1alpha1.Slot) *v1alpha1.SlotStatus {
	if s := Find(status, slot); s != nil {
		return s
	}
	status.Slots = append(status.Slots, v1alpha1.SlotStatus{Slot: slot, State: v1alpha1.SlotUnregistered})
	// The order of slots is fixed, pc before mobile, so that two writers never differ in it alone.
	slices.SortFunc(status.Slots, func(a, b v1alpha1.SlotStatus) int { return rank(a.Slot) - rank(b.Slot) })
	return Find(status, slot)
}

func rank(s v1alpha1.Slot) int {
	if s == v1alpha1.SlotPC {
		return 0
	}
	return 1
}

// Find is the slot's status, nil when nothing has been written of it.
func Find(status *v1alpha1.RelayUserStatus, slot v1alpha1.Slot) *v1alpha1.SlotStatus {
	for i := range status.Slots {
		if status.Slots[i].Slot == slot {
			return &status.Slots[i]
		}
	}
	return nil
}

// Ensure adds the slot as Unregistered when nothing has been written of it.
func Ensure(status *v1alpha1.RelayUserStatus, slot v1alpha1.Slot) { slotOf(status, slot) }

// Drop removes a slot about which there is nothing to remember: the counterpart of Ensure.
func Drop(status *v1alpha1.RelayUserStatus, slot v1alpha1.Slot) {
	s := Find(status, slot)
	if s == nil || s.State != v1alpha1.SlotUnregistered || len(s.Revoked)+len(s.HandledResets) > 0 {
		return
	}
	status.Slots = slices.DeleteFunc(status.Slots, func(s v1alpha1.SlotStatus) bool { return s.Slot == slot })
}

// Bind registers a device in a slot that the decision found free.
func Bind(status *v1alpha1.RelayUserStatus, slot v1alpha1.Slot, b v1alpha1.Binding) {
	s := slotOf(status, slot)
	s.State = v1alpha1.SlotRegistered
	s.Binding = &b
	s.ReservedFor = ""
}

// Seen notes that the bound device has logged in, if it is still the one that is bound.
func Seen(status *v1alpha1.RelayUserStatus, slot v1alpha1.Slot, bindingID string, at time.Time) {
	s := Find(status, slot)
	if s == nil || s.Binding == nil || s.Binding.ID != bindingID {
		return
	}
	if t := metav1.NewTime(at); s.Binding.LastSeenTime == nil || s.Binding.LastSeenTime.Before(&t) {
		s.Binding.LastSeenTime = &t
	}
}

// Release describes a reset of one slot.
type Release struct {
	Slot v1alpha1.Slot
	// BindingID is the binding that the reset saw; empty when it saw none.
	BindingID string
	// RequestID and UID identify the DeviceReset.
	RequestID, UID string
	// NextDevice reserves the slot for one device, when set.
	NextDevice v1alpha1.DeviceDigest
	// PreviousDevice says what becomes of the removed device.
	PreviousDevice v1alpha1.PreviousDevice
	Now            time.Time
}

// Apply carries the reset out on a status, once: a request that the slot has handled before changes
// nothing, and a device that registered after the reset looked stays. It also returns the id of the
// binding that was cleared.
func (r Release) Apply(status *v1alpha1.RelayUserStatus) (outcome v1alpha1.SlotOutcome, cleared string) {
	s := slotOf(status, r.Slot)
	if done := handled(s, r.RequestID); done != nil {
		if done.UID != r.UID {
			return v1alpha1.SlotOutcomeAlreadyHandled, ""
		}
		// The manager stopped between this write and the reset's status: the work is done.
		return done.Outcome, done.BindingID
	}
	outcome = r.outcome(s)
	switch outcome {
	case v1alpha1.SlotOutcomeChangedSince:
	case v1alpha1.SlotOutcomeNotBound:
		// When a binding was there to be seen, another reset has freed the slot since, and may have reserved
		// it for a device: that is not this reset's to undo.
		if r.BindingID == "" {
			r.free(status, s)
		}
	case v1alpha1.SlotOutcomeCleared:
		cleared = s.Binding.ID
		r.revoke(s)
		r.free(status, s)
	default:
		r.free(status, s)
	}
	r.remember(s, outcome, cleared)
	return outcome, cleared
}

func (r Release) outcome(s *v1alpha1.SlotStatus) v1alpha1.SlotOutcome {
	switch {
	case s.Binding == nil && r.NextDevice != "":
		return v1alpha1.SlotOutcomeReserved
	case s.Binding == nil && r.BindingID == "" && s.State == v1alpha1.SlotReserved:
		return v1alpha1.SlotOutcomeUnreserved
	case s.Binding == nil:
		return v1alpha1.SlotOutcomeNotBound
	case s.Binding.ID != r.BindingID:
		return v1alpha1.SlotOutcomeChangedSince
	}
	return v1alpha1.SlotOutcomeCleared
}

func (r Release) free(status *v1alpha1.RelayUserStatus, s *v1alpha1.SlotStatus) {
	now := metav1.NewTime(r.Now)
	s.Binding = nil
	s.State = v1alpha1.SlotUnregistered
	s.ReservedFor = ""
	s.LastResetTime = &now
	if r.NextDevice == "" {
		return
	}
	s.State = v1alpha1.SlotReserved
	s.ReservedFor = r.NextDevice
	// Naming a device that an earlier reset removed, in whichever slot, is a decision to let it back in.
	for i := range status.Slots {
		status.Slots[i].Revoked = slices.DeleteFunc(status.Slots[i].Revoked,
			func(d v1alpha1.RevokedDevice) bool { return d.Digest == r.NextDevice })
	}
}

func (r Release) revoke(s *v1alpha1.SlotStatus) {
	if r.PreviousDevice == v1alpha1.PreviousDeviceAllow {
		return
	}
	digest := s.Binding.Digest
	s.Revoked = slices.DeleteFunc(s.Revoked, func(d v1alpha1.RevokedDevice) bool { return d.Digest == digest })
	s.Revoked = prepend(s.Revoked, v1alpha1.RevokedDevice{
		Digest: digest, Time: metav1.NewTime(r.Now), RequestID: r.RequestID,
	}, v1alpha1.MaxRevokedDevices)
}

func (r Release) remember(s *v1alpha1.SlotStatus, outcome v1alpha1.SlotOutcome, cleared string) {
	s.HandledResets = prepend(s.HandledResets, v1alpha1.HandledReset{
		RequestID: r.RequestID, UID: r.UID, Time: metav1.NewTime(r.Now), Outcome: outcome, BindingID: cleared,
	}, v1alpha1.MaxHandledResets)
}

// Handled says whether the slot has handled a request before.
func Handled(status *v1alpha1.RelayUserStatus, slot v1alpha1.Slot, requestID string) bool {
	s := Find(status, slot)
	return s != nil && handled(s, requestID) != nil
}

func handled(s *v1alpha1.SlotStatus, requestID string) *v1alpha1.HandledReset {
	for i := range s.HandledResets {
		if s.HandledResets[i].RequestID == requestID {
			return &s.HandledResets[i]
		}
	}
	return nil
}

// prepend puts the newest first and drops the oldest beyond the limit.
func prepend[T any](list []T, newest T, limit int) []T {
	list = slices.Insert(list, 0, newest)
	return list[:min(len(list), limit)]
}
