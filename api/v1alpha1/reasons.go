package v1alpha1

// Reason is why a login was refused. Reasons are listed here in the order in which they are checked: of
// several that apply, the first is recorded.
type Reason string

const (
	// ReasonUnknownUser: no user of this server has that login name.
	ReasonUnknownUser Reason = "UnknownUser"
	// ReasonPasswordMismatch: the password is wrong, or the user has no usable password.
	ReasonPasswordMismatch Reason = "PasswordMismatch"
	// ReasonUserSuspended: spec.suspended is true.
	ReasonUserSuspended Reason = "UserSuspended"
	// ReasonOutsideValidity: the time is before spec.validFrom or not before spec.validUntil.
	ReasonOutsideValidity Reason = "OutsideValidity"
	// ReasonAdministratorNotPermitted: an Administrator account cannot be used for remote access.
	ReasonAdministratorNotPermitted Reason = "AdministratorNotPermitted"
	// ReasonProgramNotPermitted: spec.programs does not permit the program or the mobile viewer.
	ReasonProgramNotPermitted Reason = "ProgramNotPermitted"
	// ReasonSourceAddressDenied: the source address is in none of the allowed networks.
	ReasonSourceAddressDenied Reason = "SourceAddressDenied"
	// ReasonMACAddressDenied: the MAC address is none of the allowed ones.
	ReasonMACAddressDenied Reason = "MACAddressDenied"
	// ReasonDeviceAuthUnsupported: the viewer does not authenticate its device, and must.
	ReasonDeviceAuthUnsupported Reason = "DeviceAuthUnsupported"
	// ReasonDeviceProofInvalid: what the device showed to prove itself does not hold: the signature, the
	// challenge or the certificate is wrong, has expired, was used before, or is for another login.
	ReasonDeviceProofInvalid Reason = "DeviceProofInvalid"
	// ReasonDeviceKindNotPermitted: the device identified itself by something weaker than minimumDeviceKind.
	ReasonDeviceKindNotPermitted Reason = "DeviceKindNotPermitted"
	// ReasonSlotNotPermitted: the user has one device in all, and another one is bound.
	ReasonSlotNotPermitted Reason = "SlotNotPermitted"
	// ReasonDeviceRevoked: a reset removed this device.
	ReasonDeviceRevoked Reason = "DeviceRevoked"
	// ReasonDeviceMismatch: another device is bound to the slot.
	ReasonDeviceMismatch Reason = "DeviceMismatch"
	// ReasonDeviceNotRegistered: the slot is free, but registration is not open to this device.
	ReasonDeviceNotRegistered Reason = "DeviceNotRegistered"

	// ReasonThrottled: too many wrong passwords; this attempt was not checked.
	ReasonThrottled Reason = "Throttled"
	// ReasonServerUnavailable: the login could not be decided or its binding not be stored: the sidecar
	// has not heard from the API server for too long, or has too much to do, or the manager has not said yet
	// which devices the user has.
	ReasonServerUnavailable Reason = "ServerUnavailable"

	// ReasonSessionInvalid: what was shown as a session is none of this server's. This reason and the next two
	// are of sessions: they are counted in metrics, and not kept in a user's status.
	ReasonSessionInvalid Reason = "SessionInvalid"
	// ReasonSessionExpired: the session's time is over.
	ReasonSessionExpired Reason = "SessionExpired"
	// ReasonSessionEnded: the person logged out, an administrator ended the session, newer sessions took its
	// place, or its device was reset.
	ReasonSessionEnded Reason = "SessionEnded"
)

// Reasons are all reasons, in the order in which they are checked.
var Reasons = []Reason{
	ReasonUnknownUser, ReasonPasswordMismatch, ReasonUserSuspended, ReasonOutsideValidity,
	ReasonAdministratorNotPermitted, ReasonProgramNotPermitted, ReasonSourceAddressDenied,
	ReasonMACAddressDenied, ReasonDeviceAuthUnsupported, ReasonDeviceProofInvalid, ReasonDeviceKindNotPermitted,
	ReasonSlotNotPermitted, ReasonDeviceRevoked, ReasonDeviceMismatch, ReasonDeviceNotRegistered,
	ReasonThrottled, ReasonServerUnavailable, ReasonSessionInvalid, ReasonSessionExpired, ReasonSessionEnded,
}
