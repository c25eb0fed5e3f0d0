package historyserver

import "github.com/tegata-dev/tegata/api/v1alpha1"

// messages are the reasons in a sentence.
var messages = map[v1alpha1.Reason]string{
	v1alpha1.ReasonUnknownUser:               "No user of this server has that login name.",
	v1alpha1.ReasonPasswordMismatch:          "The password that was sent differs from the registered one, or the user has no usable password.",
	v1alpha1.ReasonUserSuspended:             "The user is suspended.",
	v1alpha1.ReasonOutsideValidity:           "The attempt was outside the time in which the user is valid.",
	v1alpha1.ReasonAdministratorNotPermitted: "An administrator's account cannot be used for remote access.",
	v1alpha1.ReasonProgramNotPermitted:       "The user may not connect with this program.",
	v1alpha1.ReasonSourceAddressDenied:       "The user may not connect from this address.",
	v1alpha1.ReasonMACAddressDenied:          "The user may not connect from a device with this MAC address.",
	v1alpha1.ReasonDeviceAuthUnsupported:     "The viewer does not authenticate its device, and must.",
	v1alpha1.ReasonDeviceProofInvalid:        "What the device showed to prove itself does not hold.",
	v1alpha1.ReasonDeviceKindNotPermitted:    "The device identified itself by something weaker than is asked for.",
	v1alpha1.ReasonSlotNotPermitted:          "The user has one device in all, and another one is registered.",
	v1alpha1.ReasonDeviceRevoked:             "This device was removed by a reset.",
	v1alpha1.ReasonDeviceMismatch:            "The registered device and the one that connected differ.",
	v1alpha1.ReasonDeviceNotRegistered:       "No device is registered, and registration is not open to this one.",
	v1alpha1.ReasonThrottled:                 "There were too many wrong passwords; this attempt was not checked.",
	v1alpha1.ReasonServerUnavailable:         "The attempt could not be decided, or its device could not be registered.",
	v1alpha1.ReasonSessionInvalid:            "What was shown as a session is none of this server's.",
	v1alpha1.ReasonSessionExpired:            "The session's time was over.",
	v1alpha1.ReasonSessionEnded:              "The session had been ended.",
}

// otherReason stands for reasons that a newer sidecar knows. Stores keep a list of those that there are: it must not
// grow by what senders make up.
const otherReason = "Other"

func knownReason(reason string) string {
	if _, ok := messages[v1alpha1.Reason(reason)]; ok || reason == "" {
		return reason
	}
	return otherReason
}

// messageOf is empty for a success.
func messageOf(reason string) string {
	if reason == otherReason {
		return "The attempt was denied for a reason that only a newer version knows."
	}
	return messages[v1alpha1.Reason(reason)]
}
