package controllers

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/api/v1alpha1"
)

// complete ends a reset that is carried out and enforced.
func (r *resetReconciler) complete(ctx context.Context, reset *v1alpha1.DeviceReset, status *v1alpha1.DeviceResetStatus) (time.Duration, error) {
	server, err := r.serverOf(ctx, reset.Namespace, status)
	if err != nil {
		return 0, err
	}
	reason := completeReason(status)
	message := completeMessage(reset, status, server)
	now := r.now()
	_, err = r.store(ctx, reset, func(stored *v1alpha1.DeviceResetStatus) {
		*stored = *status
		stored.CompletionTime = &now
		set(&stored.Conditions, reset.Generation, now, is(v1alpha1.ConditionComplete, reason, message))
		meta.RemoveStatusCondition(&stored.Conditions, v1alpha1.ConditionReconciling)
	})
	if err != nil {
		return 0, err
	}
	r.finish(reset, status, reason)
	r.announce(reset, reason, message)
	return r.expire(ctx, reset)
}

// fail ends a reset that is given up. It has freed nothing.
func (r *resetReconciler) fail(ctx context.Context, reset *v1alpha1.DeviceReset, failed *failure) (time.Duration, error) {
	now := r.now()
	_, err := r.store(ctx, reset, func(status *v1alpha1.DeviceResetStatus) {
		status.CompletionTime = &now
		set(&status.Conditions, reset.Generation, now,
			isNot(v1alpha1.ConditionComplete, failed.reason, failed.message),
			is(v1alpha1.ConditionFailed, failed.reason, failed.message),
			is(v1alpha1.ConditionStalled, failed.reason, failed.message))
		meta.RemoveStatusCondition(&status.Conditions, v1alpha1.ConditionReconciling)
	})
	if err != nil {
		return 0, err
	}
	r.finish(reset, &reset.Status, failed.reason)
	r.warn(reset, failed.reason, failed.message)
	return r.expire(ctx, reset)
}

func (r *resetReconciler) finish(reset *v1alpha1.DeviceReset, status *v1alpha1.DeviceResetStatus, reason string) {
	r.targets.forget(client.ObjectKeyFromObject(reset))
	resetsFinished.WithLabelValues(reason).Inc()
	for what, n := range map[v1alpha1.SlotOutcome]int32{
		v1alpha1.SlotOutcomeCleared: status.Cleared, v1alpha1.SlotOutcomeReserved: status.Reserved,
		v1alpha1.SlotOutcomeNotBound: status.NotBound, v1alpha1.SlotOutcomeAlreadyHandled: status.AlreadyHandled,
		v1alpha1.SlotOutcomeChangedSince: status.ChangedSince,
	} {
		resetSlots.WithLabelValues(string(what)).Add(float64(n))
	}
}

func completeReason(status *v1alpha1.DeviceResetStatus) string {
	switch {
	case status.Cleared+status.Reserved > 0:
		return v1alpha1.ReasonCleared
	case status.AlreadyHandled > 0 && status.NotBound+status.ChangedSince == 0:
		return v1alpha1.ReasonAlreadyHandled
	}
	return v1alpha1.ReasonNothingToClear
}

// serverOf is the server of the one user that a reset names, nil when it names many or is gone.
func (r *resetReconciler) serverOf(ctx context.Context, namespace string, status *v1alpha1.DeviceResetStatus) (*v1alpha1.RelayServer, error) {
	if len(status.Enforcement) != 1 {
		return nil, nil
	}
	server := &v1alpha1.RelayServer{}
	err := r.Get(ctx, client.ObjectKey{Namespace: namespace, Name: status.Enforcement[0].Server}, server)
	if err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	return server, nil
}

// clearingMessage tells how far a reset has come.
func clearingMessage(status *v1alpha1.DeviceResetStatus) string {
	return fmt.Sprintf("freeing slots: %d of %d users done", status.Processed, status.Users)
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
	if status.Cleared+status.Reserved > 0 {
		parts = append(parts, followingMessage(reset, server))
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
func followingMessage(reset *v1alpha1.DeviceReset, server *v1alpha1.RelayServer) string {
	switch {
	case reset.Spec.NextDevice != "":
		return "only the device " + string(reset.Spec.NextDevice) + " may register next"
	case server != nil && server.Spec.Enrollment == v1alpha1.EnrollmentReservedOnly:
		return "no device may register until a DeviceReset names it as nextDevice"
	case reset.Spec.PreviousDevice == v1alpha1.PreviousDeviceAllow:
		return "any device with the right password may register next"
	}
	return "any other device with the right password may register next"
}

func batchMessage(status *v1alpha1.DeviceResetStatus) string {
	parts := []string{fmt.Sprintf("cleared %d devices of %d users", status.Cleared, status.Processed)}
	for _, other := range []struct {
		n    int32
		what string
	}{
		{status.NotBound, "slots held no device"},
		{status.AlreadyHandled, "slots had handled this request before"},
		{status.ChangedSince, "slots were left alone because another device registered or the user was deleted meanwhile"},
	} {
		if other.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", other.n, other.what))
		}
	}
	return strings.Join(parts, "; ")
}

// maxNote is what the API server takes as an event's note, in bytes.
const maxNote = 1000

// Words of events: what was attempted, and, on a user, that it was done.
const (
	actionReset    = "Reset"
	eventSlotReset = "SlotReset"
)

func (r *resetReconciler) announce(reset *v1alpha1.DeviceReset, reason, message string) {
	r.recorder.Eventf(reset, nil, corev1.EventTypeNormal, reason, actionReset, "%s", clip(message+askedBy(reset), maxNote))
}

func (r *resetReconciler) warn(reset *v1alpha1.DeviceReset, reason, message string) {
	r.recorder.Eventf(reset, nil, corev1.EventTypeWarning, reason, actionReset, "%s", clip(message+askedBy(reset), maxNote))
}

// announceRelease tells on the user what a reset did to the slots. The recorder queues, and drops what it
// cannot queue: a batch does not wait for its events.
func (r *resetReconciler) announceRelease(reset *v1alpha1.DeviceReset, user *v1alpha1.RelayUser, results []v1alpha1.SlotResult) {
	parts := make([]string, len(results))
	for i, result := range results {
		parts[i] = slotMessage(reset, result)
	}
	note := fmt.Sprintf("DeviceReset %s: %s%s", reset.Name, strings.Join(parts, "; "), askedBy(reset))
	r.recorder.Eventf(user, reset, corev1.EventTypeNormal, eventSlotReset, actionReset, "%s", clip(note, maxNote))
}

// askedBy quotes who asked: the name comes from outside and may hold anything.
func askedBy(reset *v1alpha1.DeviceReset) string {
	if reset.Spec.RequestedBy == "" {
		return ""
	}
	return fmt.Sprintf(" (requested by %q)", reset.Spec.RequestedBy)
}
