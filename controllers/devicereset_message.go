package controllers

import (
	"fmt"
	"strings"

	"github.com/tegata-dev/tegata/api/v1alpha1"
)

// clearingMessage tells how far a reset has come.
func clearingMessage(status *v1alpha1.DeviceResetStatus) string {
	return fmt.Sprintf("freeing slots: %d of %s done", status.Processed, counted(status.Users, "user", "users"))
}

// completeMessage says in words what was done, and what follows from it.
func completeMessage(reset *v1alpha1.DeviceReset, status *v1alpha1.DeviceResetStatus, server *v1alpha1.RelayServer) string {
	if reset.Spec.UserRef == nil {
		return batchMessage(status)
	}
	parts := make([]string, 0, len(status.Results))
	for _, result := range status.Results {
		parts = append(parts, slotMessage(reset, result))
	}
	if status.Cleared+status.Reserved+status.Unreserved > 0 {
		parts = append(parts, followingMessage(reset, status, server))
	}
	return strings.Join(parts, "; ")
}

func slotMessage(reset *v1alpha1.DeviceReset, result v1alpha1.SlotResult) string {
	slot, user := string(result.Slot), result.User
	switch result.Outcome {
	case v1alpha1.SlotOutcomeCleared:
		return "cleared " + slot + " of " + user
	case v1alpha1.SlotOutcomeReserved:
		return slot + " of " + user + " held no device and is reserved"
	case v1alpha1.SlotOutcomeUnreserved:
		return slot + " of " + user + " was reserved for one device and is not any more"
	case v1alpha1.SlotOutcomeNotBound:
		return slot + " of " + user + " held no device"
	case v1alpha1.SlotOutcomeAlreadyHandled:
		return fmt.Sprintf("%s of %s was reset by request %q before and is left alone; to reset it again, "+
			"create a DeviceReset with another name or requestID", slot, user, reset.EffectiveRequestID())
	case v1alpha1.SlotOutcomeChangedSince:
		return "another device registered in " + slot + " of " + user + " meanwhile and is left alone"
	case v1alpha1.SlotOutcomeUserGone:
		return user + " was deleted meanwhile"
	}
	return slot + " of " + user + ": " + string(result.Outcome)
}

// followingMessage says which device may register next.
func followingMessage(reset *v1alpha1.DeviceReset, status *v1alpha1.DeviceResetStatus, server *v1alpha1.RelayServer) string {
	switch {
	case reset.Spec.NextDevice != "":
		return "only the device " + string(reset.Spec.NextDevice) + " may register next"
	case server != nil && server.Spec.Enrollment == v1alpha1.EnrollmentReservedOnly:
		return "no device may register until a DeviceReset names it as nextDevice"
	case status.Cleared == 0:
		return "any device that no reset removed may register next, with the right password"
	case reset.Spec.PreviousDevice == v1alpha1.PreviousDeviceAllow:
		return "any device with the right password may register next"
	}
	return "any other device with the right password may register next"
}

func batchMessage(status *v1alpha1.DeviceResetStatus) string {
	parts := []string{fmt.Sprintf("cleared %s of %s",
		counted(status.Cleared, "device", "devices"), counted(status.Processed, "user", "users"))}
	for _, other := range []struct {
		n         int32
		one, many string
	}{
		{status.Unreserved, "slot was reserved and is not any more", "slots were reserved and are not any more"},
		{status.NotBound, "slot held no device", "slots held no device"},
		{status.AlreadyHandled, "slot had handled this request before", "slots had handled this request before"},
		{status.ChangedSince, "slot was left alone because " + meanwhile, "slots were left alone because " + meanwhile},
	} {
		if other.n > 0 {
			parts = append(parts, counted(other.n, other.one, other.many))
		}
	}
	return strings.Join(parts, "; ")
}

const meanwhile = "another device registered or the user was deleted meanwhile"

// counted is a number with the word for so many.
func counted[N ~int | ~int32](n N, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
