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
		v1alpha1.SlotOutcomeUnreserved: status.Unreserved, v1alpha1.SlotOutcomeNotBound: status.NotBound,
		v1alpha1.SlotOutcomeAlreadyHandled: status.AlreadyHandled, v1alpha1.SlotOutcomeChangedSince: status.ChangedSince,
	} {
		resetSlots.WithLabelValues(string(what)).Add(float64(n))
	}
}

func completeReason(status *v1alpha1.DeviceResetStatus) string {
	switch {
	case status.Cleared > 0:
		return v1alpha1.ReasonCleared
	case status.Reserved > 0:
		return v1alpha1.ReasonReserved
	case status.Unreserved > 0:
		return v1alpha1.ReasonUnreserved
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
