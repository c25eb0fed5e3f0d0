// Package decision says whether a login is admitted, and why not.
//
// It is pure: no clock, no I/O, no allocation, nothing but the standard library. What it decides on is
// in Input; what follows from it (storing a binding, counting a failure) is the caller's. It must never
// learn a password or a raw fingerprint: it is told whether the password was right, and device digests.
package decision

import (
	"net/netip"
	"time"
)

// Input is everything that a decision depends on.
type Input struct {
	// Now is the time of the attempt.
	Now time.Time
	// User is the account that the login name belongs to, nil when there is none.
	User *User
	// PasswordOK says whether the password is the user's.
	PasswordOK bool
	// Attempt is what the person presented.
	Attempt Attempt
	// ReservedOnly refuses devices that no slot is reserved for (RelayServer spec.enrollment).
	ReservedOnly bool
	// MinimumKind refuses devices of a weaker kind (RelayServer spec.minimumDeviceKind).
	MinimumKind Kind
}

// Attempt is what a person presented, as far as a decision depends on it.
type Attempt struct {
	Program Program
	// Viewer is the kind of viewer; it means nothing for ProgramClient.
	Viewer Viewer
	// Source is the address the person connects from, unmapped; the zero value is in no network.
	Source netip.Addr
	// MAC is the hardware address that the device reports.
	MAC MAC
	// Device identifies the device; the zero value means that it did not identify itself.
	Device Device
	// ProofInvalid says that the device offered a proof of itself which does not hold. Device, if it is not
	// zero, is then what somebody else may have shown before.
	ProofInvalid bool
}

// Decide runs every check in the order of the reasons and returns the first that fails; the caller
// records that one and tells the person nothing of it.
func Decide(in Input) Outcome {
	slot := in.Attempt.Slot()
	for _, check := range checks {
		if reason := check(in, slot); reason != ReasonNone {
			return Outcome{Verdict: Deny, Reason: reason, Slot: slot}
		}
	}
	if slot == SlotNone || in.User.Slots[slot].State == Registered {
		return Outcome{Verdict: Allow, Slot: slot}
	}
	return Outcome{Verdict: Enroll, Slot: slot}
}

// checks are in the order of the reasons. Those after the first may rely on in.User. They take Input by
// value: a pointer handed to a function of a table escapes, which is an allocation for each decision.
var checks = [...]func(in Input, slot Slot) Reason{
	userKnown,
	passwordRight,
	notSuspended,
	withinValidity,
	generalUser,
	programPermitted,
	sourcePermitted,
	macPermitted,
	deviceAuthenticated,
	deviceProven,
	deviceKindPermitted,
	slotPermitted,
	deviceNotRevoked,
	deviceMatches,
	deviceMayRegister,
	slotsKnown,
}

func userKnown(in Input, _ Slot) Reason { return unless(in.User != nil, UnknownUser) }

func passwordRight(in Input, _ Slot) Reason { return unless(in.PasswordOK, PasswordMismatch) }

func notSuspended(in Input, _ Slot) Reason { return unless(!in.User.Suspended, UserSuspended) }

func withinValidity(in Input, _ Slot) Reason {
	u := in.User
	begun := u.ValidFrom.IsZero() || !in.Now.Before(u.ValidFrom)
	ended := !u.ValidUntil.IsZero() && !in.Now.Before(u.ValidUntil)
	return unless(begun && !ended, OutsideValidity)
}

func generalUser(in Input, _ Slot) Reason {
	return unless(!in.User.Administrator, AdministratorNotPermitted)
}

func programPermitted(in Input, _ Slot) Reason {
	switch {
	case in.Attempt.Program == ProgramClient:
		return unless(in.User.ClientPermitted, ProgramNotPermitted)
	case in.Attempt.Program == ProgramViewer && in.Attempt.Viewer == ViewerMobile:
		return unless(in.User.MobilePermitted, ProgramNotPermitted)
	}
	return unless(in.Attempt.Program == ProgramViewer, ProgramNotPermitted)
}

func sourcePermitted(in Input, _ Slot) Reason {
	allowed := in.User.network(in.Attempt.Program).CIDRs
	return unless(len(allowed) == 0 || containsAddr(allowed, in.Attempt.Source), SourceAddressDenied)
}

func macPermitted(in Input, _ Slot) Reason {
	allowed := in.User.network(in.Attempt.Program).MACs
	return unless(len(allowed) == 0 || containsMAC(allowed, in.Attempt.MAC), MACAddressDenied)
}

// deviceAuthenticated: a viewer either identifies its device, or is one that need not and is permitted.
// The far end's client program has no slot and needs none.
func deviceAuthenticated(in Input, slot Slot) Reason {
	if in.Attempt.Program == ProgramClient {
		return ReasonNone
	}
	if slot == SlotNone {
		return unless(in.Attempt.Viewer == ViewerUnbound && in.User.UnboundPermitted, DeviceAuthUnsupported)
	}
	return unless(!in.Attempt.Device.isZero() || in.Attempt.ProofInvalid, DeviceAuthUnsupported)
}

// deviceProven: a proof that does not hold is no lack of one, which a reset would mend.
func deviceProven(in Input, slot Slot) Reason {
	return unless(slot == SlotNone || !in.Attempt.ProofInvalid, DeviceProofInvalid)
}

// deviceKindPermitted: the stricter of the relay's and the user's demand holds. Programs without a slot show no
// device.
func deviceKindPermitted(in Input, slot Slot) Reason {
	if slot == SlotNone {
		return ReasonNone
	}
	return unless(in.Attempt.Device.Kind >= max(in.MinimumKind, in.User.MinimumKind), DeviceKindNotPermitted)
}

// slotPermitted: a user with both programs but without combined use has one device in all. The slot that
// was bound first keeps it, also when combined use was withdrawn while both were bound.
func slotPermitted(in Input, slot Slot) Reason {
	if slot == SlotNone {
		return ReasonNone
	}
	return unless(in.User.SlotPermitted(slot), SlotNotPermitted)
}

// deviceNotRevoked looks at every slot: a phone that a reset removed must not come back as a PC.
func deviceNotRevoked(in Input, slot Slot) Reason {
	if slot == SlotNone {
		return ReasonNone
	}
	for i := range in.User.Slots {
		if in.Attempt.Device.matchesAny(in.User.Slots[i].Revoked) {
			return DeviceRevoked
		}
	}
	return ReasonNone
}

func deviceMatches(in Input, slot Slot) Reason {
	if slot == SlotNone || in.User.Slots[slot].State != Registered {
		return ReasonNone
	}
	return unless(in.Attempt.Device.Matches(in.User.Slots[slot].Digest), DeviceMismatch)
}

func deviceMayRegister(in Input, slot Slot) Reason {
	if slot == SlotNone {
		return ReasonNone
	}
	switch in.User.Slots[slot].State {
	case Registered:
		return ReasonNone
	case Reserved:
		return unless(in.Attempt.Device.Matches(in.User.Slots[slot].Digest), DeviceNotRegistered)
	case Unregistered:
		return unless(!in.ReservedOnly && !in.User.reservedElsewhere(slot), DeviceNotRegistered)
	}
	return DeviceNotRegistered
}

// slotsKnown comes last: what a user whose slots are not known may not do in any case is told as such.
func slotsKnown(in Input, slot Slot) Reason {
	return unless(slot == SlotNone || !in.User.SlotsUnknown || in.User.Slots[slot].State == Registered, ServerUnavailable)
}

func unless(ok bool, r Reason) Reason {
	if ok {
		return ReasonNone
	}
	return r
}

func containsAddr(networks []netip.Prefix, a netip.Addr) bool {
	for _, n := range networks {
		if n.Contains(a) {
			return true
		}
	}
	return false
}

func containsMAC(allowed []MAC, m MAC) bool {
	for _, a := range allowed {
		if a == m && !m.IsZero() {
			return true
		}
	}
	return false
}
