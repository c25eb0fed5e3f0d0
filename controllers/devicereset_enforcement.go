package controllers

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/liveness"
)

const (
	// maxNamedSidecars bounds how many sidecars a message names.
	maxNamedSidecars = 3
	// enforceRetry is how soon a sidecar in good health has observed a write.
	enforceRetry = 500 * time.Millisecond
)

// enforce completes the reset once no live sidecar decides on what was before it. mutate, when not nil, is
// stored in the same write.
func (r *resetReconciler) enforce(ctx context.Context, reset *v1alpha1.DeviceReset, mutate func(*v1alpha1.DeviceResetStatus)) (time.Duration, error) {
	status := reset.Status.DeepCopy()
	if mutate != nil {
		mutate(status)
	}
	// The Leases are read after the last of the clearing writes.
	pending, wait, err := r.pending(ctx, reset.Namespace, status.Enforcement)
	if err != nil {
		return 0, err
	}
	if len(pending) == 0 {
		return r.complete(ctx, reset, status)
	}
	r.progress(reset, v1alpha1.ReasonEnforcing, pendingMessage(pending))(status)
	made, err := r.store(ctx, reset, func(stored *v1alpha1.DeviceResetStatus) { *stored = *status })
	if made {
		// Until the cache shows this write, a renewal of a Lease does not lead to this reset: look once more.
		wait = min(wait, enforceRetry)
	}
	return max(wait, nextWindow), err
}

// pending lists the live sidecars that have not observed what they must, and how soon one of them may have
// run out.
func (r *resetReconciler) pending(ctx context.Context, namespace string, required []v1alpha1.Enforcement) ([]liveness.Sidecar, time.Duration, error) {
	var all []liveness.Sidecar
	var wait time.Duration
	for _, e := range required {
		pending, shortest, err := r.sidecars.Pending(ctx, namespace, e.Server, e.ResourceVersion)
		if err != nil {
			return nil, 0, err
		}
		all = append(all, pending...)
		wait = earliest(wait, shortest)
	}
	return all, wait, nil
}

// pendingMessage says who is waited for. It does not count down: that would be a write for each second.
func pendingMessage(pending []liveness.Sidecar) string {
	names := make([]string, len(pending))
	var longest time.Duration
	for i, s := range pending {
		names[i] = s.Name
		if seconds := s.Lease.Spec.LeaseDurationSeconds; seconds != nil {
			longest = max(longest, time.Duration(*seconds)*time.Second)
		}
	}
	slices.Sort(names)
	if more := len(names) - maxNamedSidecars; more > 0 {
		names = append(names[:maxNamedSidecars], fmt.Sprintf("%d more", more))
	}
	return fmt.Sprintf("freed; waiting for %s to observe it, or to have been silent for %s",
		strings.Join(names, ", "), longest)
}

// appearsOrIsRelabelled passes what may end a reset's wait for a user, or for what the user's status is filled with.
func appearsOrIsRelabelled() predicate.Predicate {
	changed := predicate.LabelChangedPredicate{}
	return predicate.Funcs{
		UpdateFunc: func(e event.UpdateEvent) bool { return changed.Update(e) || fills(e.ObjectOld, e.ObjectNew) },
		DeleteFunc: func(event.DeleteEvent) bool { return false },
	}
}

// fills says whether a user's status says of devices for the first time.
func fills(before, after client.Object) bool {
	was, wasUser := before.(*v1alpha1.RelayUser)
	is, isUser := after.(*v1alpha1.RelayUser)
	return wasUser && isUser && len(was.Status.Slots) == 0 && len(is.Status.Slots) > 0
}

// enqueueWaiting asks for the resets that wait for a user such as this one.
func (r *resetReconciler) enqueueWaiting() handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, user client.Object) []reconcile.Request {
		return append(r.find(ctx, user.GetNamespace(), indexResetUser, user.GetName()),
			r.find(ctx, user.GetNamespace(), indexResetSelecting, selecting)...)
	})
}

// enqueueEnforcing asks for the resets that wait for a sidecar's server.
func (r *resetReconciler) enqueueEnforcing() handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, lease client.Object) []reconcile.Request {
		server := lease.GetLabels()[v1alpha1.LabelRelayServer]
		return r.find(ctx, lease.GetNamespace(), indexResetEnforcing, server)
	})
}

func (r *resetReconciler) find(ctx context.Context, namespace, index, key string) []reconcile.Request {
	var resets v1alpha1.DeviceResetList
	err := r.List(ctx, &resets, client.InNamespace(namespace), client.MatchingFields{index: key}, client.UnsafeDisableDeepCopy)
	if err != nil {
		log.FromContext(ctx).Error(err, "Resets that wait were not looked at", "index", index)
	}
	requests := make([]reconcile.Request, len(resets.Items))
	for i := range resets.Items {
		requests[i] = request(resets.Items[i].Namespace, resets.Items[i].Name)
	}
	return requests
}
