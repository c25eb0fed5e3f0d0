package controllers

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Words of events on pods that ask for a sidecar.
const (
	actionInject          = "Inject"
	eventServerNotFound   = "RelayServerNotFound"
	eventAccountIsDefault = "ServiceAccountIsDefault"
	eventTooManyAccounts  = "TooManyServiceAccounts"
)

const (
	// warnInterval brings an event back before the API server forgets it, by default after an hour.
	warnInterval = 30 * time.Minute
	// maxWarned is how many pods are told at a time. The others are of the same Deployment, or somebody makes pods to
	// have events made.
	maxWarned = 20
)

// warn tells the pods what is wrong, and again while it lasts; it returns when. A pod that comes meanwhile is told at
// once.
func (r *podReconciler) warn(memory *podMemory, pods []metav1.PartialObjectMetadata, reason, message string) time.Duration {
	now, wait := r.clock.Now(), time.Duration(0)
	for i := range pods[:min(len(pods), maxWarned)] {
		key := warning{pods[i].UID, reason}
		if told, ok := memory.warned[key]; ok && now.Sub(told) < warnInterval {
			wait = earliest(wait, warnInterval-now.Sub(told))
			continue
		}
		memory.warned[key] = now
		wait = earliest(wait, warnInterval)
		pod := &corev1.ObjectReference{
			APIVersion: "v1", Kind: "Pod", Namespace: pods[i].Namespace, Name: pods[i].Name, UID: pods[i].UID,
		}
		r.recorder.Eventf(pod, nil, corev1.EventTypeWarning, reason, actionInject, "%s", clip(message, maxNote))
	}
	return wait
}

// warnRefused tells the pods whose accounts are bound to nothing.
func (r *podReconciler) warnRefused(memory *podMemory, wanted podAccounts) time.Duration {
	return earliest(
		r.warn(memory, wanted.asDefault, eventAccountIsDefault, `the sidecar may do nothing, because its ServiceAccount `+
			`"default" is that of every other pod of the namespace, too: give the pod a serviceAccountName of its own`),
		r.warn(memory, wanted.beyond, eventTooManyAccounts, fmt.Sprintf("the sidecar may do nothing, because the pods of "+
			"this relay run as more than %d ServiceAccounts: let them share one", maxPodAccounts)),
	)
}
