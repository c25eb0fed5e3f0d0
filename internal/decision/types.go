package decision

import (
	"net/netip"
	"slices"
	"time"
)

// Verdict is what is to be done with an attempt.
type Verdict uint8

const (
	// Deny refuses it. It is the zero value.
	Deny Verdict = iota
	// Allow admits it.
	Allow
	// Enroll admits it once the device has been stored as the slot's binding.
	Enroll
)

var verdictNames = [...]string{Deny: "deny", Allow: "allow", Enroll: "enroll"}

// String is the verdict in lower case, for metrics and logs.
func (v Verdict) String() string { return nameOf(verdictNames[:], int(v)) }

// Reason is why an attempt is denied.
type Reason uint8

// The reasons in the order in which they are checked. Those from Throttled on come from around the decision:
// the attempt was not, or could not be, decided, or it was not a login but a session that is over.
const (
	ReasonNone Reason = iota
	UnknownUser
	PasswordMismatch
	UserSuspended
	OutsideValidity
	AdministratorNotPermitted
	ProgramNotPermitted
	SourceAddressDenied
	MACAddressDenied
	DeviceAuthUnsupported
	DeviceProofInvalid
	DeviceKindNotPermitted
	SlotNotPermitted
	DeviceRevoked
	DeviceMismatch
	DeviceNotRegistered
	Throttled
	ServerUnavailable
	SessionInvalid
	SessionExpired
	SessionEnded

	reasonCount
)

var reasonNames = [reasonCount]string{
	ReasonNone: "", UnknownUser: "UnknownUser", PasswordMismatch: "PasswordMismatch",
	UserSuspended: "UserSuspended", OutsideValidity: "OutsideValidity",
	AdministratorNotPermitted: "AdministratorNotPermitted", ProgramNotPermitted: "ProgramNotPermitted",
	SourceAddressDenied: "SourceAddressDenied", MACAddressDenied: "MACAddressDenied",
	DeviceAuthUnsupported: "DeviceAuthUnsupported", DeviceProofInvalid: "DeviceProofInvalid",
	DeviceKindNotPermitted: "DeviceKindNotPermitted", SlotNotPermitted: "SlotNotPermitted",
	DeviceRevoked: "DeviceRevoked", DeviceMismatch: "DeviceMismatch",
	DeviceNotRegistered: "DeviceNotRegistered", Throttled: "Throttled",
	ServerUnavailable: "ServerUnavailable", SessionInvalid: "SessionInvalid",
	SessionExpired: "SessionExpired", SessionEnded: "SessionEnded",
}

// String is the reason's name in the API (v1alpha1.Reason); empty for ReasonNone.
func (r Reason) String() string { return nameOf(reasonNames[:], int(r)) }

// Reasons are all reasons in order.
func Reasons() []Reason {
	all := make([]Reason, 0, reasonCount-1)
	for r := UnknownUser; r < reasonCount; r++ {
		all = append(all, r)
	}
	return all
}

// Outcome is a decision.
type Outcome struct {
	Verdict Verdict
	// Reason is why, when Verdict is Deny.
	Reason Reason
	// Slot is the slot that the attempt is about, SlotNone when it has none.
	Slot Slot
}

// Program is what connects.
type Program uint8

const (
	// ProgramUnknown is the zero value; it is never permitted.
	ProgramUnknown Program = iota
	// ProgramViewer is the program on the device at hand.
	ProgramViewer
	// ProgramClient is the program at the far end.
	ProgramClient
)

var programNames = [...]string{ProgramUnknown: "", ProgramViewer: "viewer", ProgramClient: "client"}

// String is the program's name in the API.
func (p Program) String() string { return nameOf(programNames[:], int(p)) }

// Viewer is the kind of viewer that connects.
type Viewer uint8

const (
	// ViewerUnknown is the zero value; it is never permitted.
	ViewerUnknown Viewer = iota
	// ViewerPC authenticates its device in the slot pc.
	ViewerPC
	// ViewerMobile authenticates its device in the slot mobile.
	ViewerMobile
	// ViewerUnbound does not authenticate its device.
	ViewerUnbound
)

// Slot indexes User.Slots.
type Slot uint8

const (
	// SlotPC is the PC's.
	SlotPC Slot = iota
	// SlotMobile is the phone's.
	SlotMobile
	// SlotCount is how many slots a user has.
	SlotCount
	// SlotNone is the slot of an attempt that binds no device.
	SlotNone
)

var slotNames = [...]string{SlotPC: "pc", SlotMobile: "mobile", SlotCount: "", SlotNone: ""}

// String is the slot's name in the API; empty for SlotNone.
func (s Slot) String() string { return nameOf(slotNames[:], int(s)) }

// nameOf is empty for a value that has no name, rather than a panic in whoever logs it.
func nameOf(names []string, value int) string {
	if value >= len(names) {
		return ""
	}
	return names[value]
}

// Slot is the slot that the attempt is about, SlotNone when it binds no device.
func (a *Attempt) Slot() Slot {
	switch {
	case a.Program != ProgramViewer:
		return SlotNone
	case a.Viewer == ViewerPC:
		return SlotPC
	case a.Viewer == ViewerMobile:
		return SlotMobile
	}
	return SlotNone
}

// MAC is a 48-bit hardware address.
type MAC [6]byte

// IsZero says whether no address was given.
func (m MAC) IsZero() bool { return m == MAC{} }

// Digest is a keyed digest of a fingerprint, in the spelling of the API: key id, colon, base64url.
type Digest string

// Device is a device's fingerprint, digested under each key that is in use (usually one): digests made
// under an older key stay comparable while that key is kept.
type Device struct {
	// Digests has the newest key's digest first. Empty when the device did not identify itself.
	Digests []Digest
	// Kind tells how it did.
	Kind Kind
}

// Kind tells how a device identified itself, the weakest first.
type Kind uint8

const (
	// KindNone is the zero value: the device did not identify itself.
	KindNone Kind = iota
	// KindOpaque is a string that the device reports, which can be copied.
	KindOpaque
	// KindCertificate is a client certificate, whose key signed the connection's handshake.
	KindCertificate
	// KindProof is a key of the device, which signed a fresh challenge.
	KindProof
)

func (d Device) isZero() bool { return len(d.Digests) == 0 }

// Matches says whether the stored digest is this device's. A digest is not a secret (status shows it),
// so the comparison need not take constant time.
func (d Device) Matches(stored Digest) bool {
	middle := len(stored) / 2
	for _, own := range d.Digests {
		// One byte of it tells nearly all digests apart. Without that, a user with as many revoked devices
		// as there may be costs more than everything else that is decided.
		if stored != "" && len(own) == len(stored) && own[middle] == stored[middle] && own == stored {
			return true
		}
	}
	return false
}

func (d Device) matchesAny(stored []Digest) bool {
	return slices.ContainsFunc(stored, d.Matches)
}

// State is what a slot holds.
type State uint8

const (
	// Unregistered is free. It is the zero value.
	Unregistered State = iota
	// Reserved is free for the device with the slot's digest only.
	Reserved
	// Registered holds the device with the slot's digest.
	Registered
)

// SlotState is one slot of a user.
type SlotState struct {
	State State
	// Digest is the bound device's (Registered), or that of the only device that may register (Reserved).
	Digest Digest
	// RegisteredTime is when the device was bound.
	RegisteredTime time.Time
	// Revoked are devices that resets removed.
	Revoked []Digest
}

// Network limits one program's connections. Empty lists permit all.
type Network struct {
	CIDRs []netip.Prefix
	MACs  []MAC
}

// User is an account as far as a decision depends on it.
type User struct {
	Administrator bool
	Suspended     bool
	// ValidFrom and ValidUntil bound the time of use; zero values do not.
	ValidFrom, ValidUntil time.Time

	UnboundPermitted  bool
	MobilePermitted   bool
	CombinedPermitted bool
	ClientPermitted   bool

	ViewerNetwork, ClientNetwork Network

	// MinimumKind refuses devices that identify themselves by something weaker.
	MinimumKind Kind

	// SlotsUnknown says that nothing is known of the slots as yet, so that none of them counts as free.
	SlotsUnknown bool
	Slots        [SlotCount]SlotState
}

func (u *User) network(p Program) *Network {
	if p == ProgramClient {
		return &u.ClientNetwork
	}
	return &u.ViewerNetwork
}

// SlotPermitted says whether the spec lets the slot be used, given what is bound. Of two bound slots
// without combined use, the one that was bound first is permitted; at the same instant, the PC's.
func (u *User) SlotPermitted(s Slot) bool {
	if s >= SlotCount || (s == SlotMobile && !u.MobilePermitted) {
		return false
	}
	if !u.oneDeviceInAll() {
		return true
	}
	other := &u.Slots[otherSlot(s)]
	if other.State != Registered {
		return true
	}
	own := &u.Slots[s]
	if own.State != Registered {
		return false
	}
	if own.RegisteredTime.Equal(other.RegisteredTime) {
		return s == SlotPC
	}
	return own.RegisteredTime.Before(other.RegisteredTime)
}

// oneDeviceInAll says whether the user may use either slot, but not both.
func (u *User) oneDeviceInAll() bool { return u.MobilePermitted && !u.CombinedPermitted }

// reservedElsewhere says whether the one device that the user may have is already named, for the other
// slot: a device that took this one would keep it out.
func (u *User) reservedElsewhere(s Slot) bool {
	return u.oneDeviceInAll() && u.Slots[otherSlot(s)].State == Reserved
}

func otherSlot(s Slot) Slot {
	if s == SlotPC {
		return SlotMobile
	}
	return SlotPC
}
