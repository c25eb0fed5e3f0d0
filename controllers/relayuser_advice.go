package controllers

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/binding"
)

// resetRecommended says whether a reset would help the user, and if so, by which command. While the server is
// not ready, it may have lost its keys, and then every registered device is taken for another: a reset would
// throw out a device that is well once the server is.
func resetRecommended(facts userFacts) condition {
	slots := slotsToReset(facts.user)
	if len(slots) == 0 {
		return isNot(v1alpha1.ConditionResetRecommended, v1alpha1.ReasonNoResetNeeded,
			"the last failure, if any, is not one that a reset mends, or it is mended")
	}
	if problem := serverProblem(facts); problem != nil {
		return isNot(v1alpha1.ConditionResetRecommended, problem.reason, problem.message+
			"; mend that first: till then, the device that was refused may be the registered one")
	}
	return is(v1alpha1.ConditionResetRecommended, v1alpha1.ReasonResetHelps, resetCommand(facts.user, slots))
}

// slotsToReset are the slots that a reset would have to free for the last failure not to happen again;
// none when a reset does not help, or when something has succeeded since.
func slotsToReset(user *v1alpha1.RelayUser) []v1alpha1.Slot {
	failure := user.Status.LastFailure
	if failure.Time == nil || user.Status.LastLoginTime != nil && user.Status.LastLoginTime.After(failure.Time.Time) {
		return nil
	}
	var slots []v1alpha1.Slot
	for _, slot := range slotsOfFailure(user) {
		s := binding.Find(&user.Status, slot)
		if s == nil || s.Binding == nil || s.LastResetTime != nil && s.LastResetTime.After(failure.Time.Time) {
			continue
		}
		slots = append(slots, slot)
	}
	return slots
}

// slotsOfFailure are the slots that the last failure was about. A viewer that does not identify its device
// has no slot: of a user who has changed to such a viewer, every device is an old one.
func slotsOfFailure(user *v1alpha1.RelayUser) []v1alpha1.Slot {
	switch user.Status.LastFailure.Reason {
	case v1alpha1.ReasonDeviceAuthUnsupported:
		return []v1alpha1.Slot{v1alpha1.SlotPC, v1alpha1.SlotMobile}
	case v1alpha1.ReasonDeviceMismatch:
		for _, f := range user.Status.RecentFailures { // newest first
			if f.Reason == v1alpha1.ReasonDeviceMismatch {
				return []v1alpha1.Slot{f.Slot}
			}
		}
	}
	return nil
}

// resetCommand is a line for a shell that frees the slots. Everything in it is a DNS name or an enum, so
// the single quotes hold; should that ever change, a person is told in words rather than given a line that
// does something else.
func resetCommand(user *v1alpha1.RelayUser, slots []v1alpha1.Slot) string {
	manifest, err := json.Marshal(resetManifest(user, slots))
	if err != nil || !shellSafe(string(manifest)) {
		return fmt.Sprintf("create a DeviceReset for %s of this user", joinSlots(slots))
	}
	return fmt.Sprintf("echo '%s' | kubectl create -f -", manifest)
}

// manifest has the fields of a DeviceReset in the order in which a person writes them.
type manifest struct {
	APIVersion string                   `json:"apiVersion"`
	Kind       string                   `json:"kind"`
	Metadata   manifestMetadata         `json:"metadata"`
	Spec       v1alpha1.DeviceResetSpec `json:"spec"`
}

type manifestMetadata struct {
	GenerateName string `json:"generateName"`
	Namespace    string `json:"namespace"`
}

func resetManifest(user *v1alpha1.RelayUser, slots []v1alpha1.Slot) manifest {
	prefix := user.Name + "-"
	if len(slots) == 1 {
		prefix += string(slots[0]) + "-"
	}
	return manifest{
		APIVersion: v1alpha1.GroupVersion.String(), Kind: kindDeviceReset,
		Metadata: manifestMetadata{GenerateName: prefix, Namespace: user.Namespace},
		Spec:     v1alpha1.DeviceResetSpec{UserRef: &v1alpha1.LocalReference{Name: user.Name}, Slots: slots},
	}
}

// shellSafe says whether a text stays what it is within single quotes, for every shell's echo.
func shellSafe(text string) bool { return !strings.ContainsAny(text, "'\\\n\r") }
