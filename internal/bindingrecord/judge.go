package bindingrecord

import (
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/resourceversion"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/binding"
)

// Action is what is to be done about a user and the record of the login name.
type Action int

const (
	// Nothing: the record says what the status says, or is ahead of the version that was judged.
	Nothing Action = iota
	// Write the record anew.
	Write
	// Restore the status from the record.
	Restore
	// Forget the record: the object it was made from was deleted on purpose.
	Forget
)

// Of are the slots of a status as far as they are security state: who may log in, who may not any more, and which
// resets have been. It is nil when there is nothing to remember.
func Of(status *v1alpha1.RelayUserStatus) []v1alpha1.SlotStatus {
	var slots []v1alpha1.SlotStatus
	for i := range status.Slots {
		if blank(&status.Slots[i]) {
			continue
		}
		s := *status.Slots[i].DeepCopy()
		if s.Binding != nil {
			s.Binding.LastSeenTime = nil
		}
		slots = append(slots, s)
	}
	return slots
}

// blank says that nothing was ever done with a slot. One that was reset is not blank: it remembers that.
func blank(s *v1alpha1.SlotStatus) bool {
	return s.State == v1alpha1.SlotUnregistered && s.Binding == nil && s.ReservedFor == "" && s.LastResetTime == nil &&
		len(s.Revoked)+len(s.HandledResets) == 0
}

// Forgets says whether the user's devices are to be forgotten when the object is deleted.
func Forgets(user *v1alpha1.RelayUser) bool {
	return user.Annotations[v1alpha1.AnnotationForgetBindings] == "true"
}

// Judge says what is to be done about the user who is served under a login name, which is normalised. stored is the
// record of that name, nil when there is none.
//
// Status is the truth as long as it says anything. A status that says nothing has been lost where there is a record,
// because a slot that was reset remembers that it was. Nor does a status count that began before the record was
// there to be seen, as when a restore brings it last: then a device may have registered that must not stay.
func Judge(user *v1alpha1.RelayUser, userName string, stored *Record) Action {
	wanted := New(user, userName)
	switch {
	case stored == nil && len(wanted.Slots) == 0:
		return Nothing
	case stored == nil:
		return Write
	case stored.UID != user.UID && stored.Forget:
		return Forget
	case len(wanted.Slots) == 0:
		return Restore
	case stored.UID != user.UID && !follows(&user.Status, stored.Slots):
		return Restore
	case stored.UID == user.UID && (same(wanted, *stored) || !newer(user.ResourceVersion, stored.ResourceVersion)):
		return Nothing
	}
	return Write
}

// same says whether two records of one object say the same of it.
func same(a, b Record) bool {
	return a.Forget == b.Forget && equality.Semantic.DeepEqual(a.Slots, b.Slots)
}

// newer compares versions of one object. Those that cannot be compared are not known to be older.
func newer(version, than string) bool {
	order, err := resourceversion.CompareResourceVersion(version, than)
	return err != nil || order > 0
}

// follows says whether a status has seen all that a record of another object holds: what is bound there is bound here,
// or a reset removed it; and each reset there is known here. Times say nothing: a reset may have been applied again
// before the record was there to tell that it was handled.
func follows(status *v1alpha1.RelayUserStatus, recorded []v1alpha1.SlotStatus) bool {
	return !slices.ContainsFunc(recorded, func(r v1alpha1.SlotStatus) bool {
		return !slotFollows(binding.Find(status, r.Slot), &r)
	})
}

func slotFollows(s, recorded *v1alpha1.SlotStatus) bool {
	if s == nil {
		return false
	}
	b := recorded.Binding
	known := b == nil || s.Binding != nil && s.Binding.ID == b.ID ||
		slices.ContainsFunc(s.HandledResets, func(h v1alpha1.HandledReset) bool { return h.BindingID == b.ID })
	return known && !slices.ContainsFunc(recorded.HandledResets, func(h v1alpha1.HandledReset) bool {
		// The oldest are dropped from a list that is full.
		return len(s.HandledResets) < v1alpha1.MaxHandledResets && !slices.ContainsFunc(s.HandledResets,
			func(own v1alpha1.HandledReset) bool { return own.RequestID == h.RequestID && own.UID == h.UID })
	})
}

// RestoreTo puts what was recorded into a status, and takes away what a device did that registered before the record
// was there. Resets that the status has handled stay handled.
func RestoreTo(status *v1alpha1.RelayUserStatus, recorded []v1alpha1.SlotStatus) {
	for i := range recorded {
		if s := binding.Find(status, recorded[i].Slot); s != nil && slotFollows(s, &recorded[i]) && !blank(s) {
			continue
		}
		binding.Ensure(status, recorded[i].Slot)
		s := binding.Find(status, recorded[i].Slot)
		handled := s.HandledResets
		recorded[i].DeepCopyInto(s)
		for _, h := range handled {
			if !binding.Handled(status, s.Slot, h.RequestID) && len(s.HandledResets) < v1alpha1.MaxHandledResets {
				s.HandledResets = append(s.HandledResets, h)
			}
		}
	}
}

// Ahead says whether the record must be written before a status is, as which user already is: a reset that is about to
// be carried out must not be undone by a record that does not know of it.
func Ahead(user *v1alpha1.RelayUser, userName string, stored *Record) bool {
	return stored == nil || stored.UID != user.UID || !same(New(user, userName), *stored)
}
