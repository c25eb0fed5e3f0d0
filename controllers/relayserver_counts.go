package controllers

import (
	"context"
	"fmt"
	"math"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/tegata-dev/tegata/api/v1alpha1"
)

type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]

func request(namespace, name string) reconcile.Request {
	return reconcile.Request{NamespacedName: types.NamespacedName{Namespace: namespace, Name: name}}
}

// requestServerOf asks for the server that an object's label names.
func requestServerOf(obj client.Object) []reconcile.Request {
	name := obj.GetLabels()[v1alpha1.LabelRelayServer]
	if name == "" {
		return nil
	}
	return []reconcile.Request{request(obj.GetNamespace(), name)}
}

func enqueueServerOf() handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(_ context.Context, obj client.Object) []reconcile.Request {
		return requestServerOf(obj)
	})
}

// leaseHandler notes every renewal when it is seen, and asks for the server when a Lease comes or goes, or tells
// something else of records. A renewal alone changes no count; that one has run out, the reconciler sees when it
// looks again.
func (r *serverReconciler) leaseHandler() handler.EventHandler {
	note := func(obj client.Object) {
		if lease, ok := obj.(*coordinationv1.Lease); ok {
			r.sidecars.Note(lease)
		}
	}
	enqueue := func(obj client.Object, q queue) {
		for _, req := range requestServerOf(obj) {
			q.Add(req)
		}
	}
	return handler.Funcs{
		CreateFunc: func(_ context.Context, e event.CreateEvent, q queue) {
			note(e.Object)
			enqueue(e.Object, q)
		},
		UpdateFunc: func(_ context.Context, e event.UpdateEvent, q queue) {
			note(e.ObjectNew)
			if !sameHistory(e.ObjectOld, e.ObjectNew) {
				enqueue(e.ObjectNew, q)
			}
		},
		DeleteFunc: func(_ context.Context, e event.DeleteEvent, q queue) {
			r.sidecars.Forget(e.Object.GetUID())
			enqueue(e.Object, q)
		},
	}
}

// countSidecars counts the live ones, removes the Leases of the others, and returns how long until the
// next may have run out.
func (r *serverReconciler) countSidecars(ctx context.Context, server *v1alpha1.RelayServer, found *serverFindings) (time.Duration, error) {
	sidecars, err := r.sidecars.Sidecars(ctx, server.Namespace, server.Name)
	if err != nil {
		return 0, err
	}
	var wait time.Duration
	for _, s := range sidecars {
		found.history.note(&s)
		if s.Live {
			found.liveSidecars++
			wait = earliest(wait, s.Remaining)
			continue
		}
		renewed, err := r.removeLease(ctx, s.Lease)
		if err != nil {
			return 0, err
		}
		if renewed {
			wait = earliest(wait, time.Second)
		}
	}
	return wait, nil
}

// removeLease deletes a Lease that has run out, unless it was renewed meanwhile. A sidecar that was only
// frozen finds it gone, makes another and reads everything anew before it admits anybody.
func (r *serverReconciler) removeLease(ctx context.Context, lease *coordinationv1.Lease) (renewed bool, err error) {
	err = r.Delete(ctx, lease, client.Preconditions{UID: &lease.UID, ResourceVersion: &lease.ResourceVersion})
	switch {
	case apierrors.IsConflict(err):
		return true, nil
	case client.IgnoreNotFound(err) != nil:
		return false, fmt.Errorf("delete lease %s/%s: %w", lease.Namespace, lease.Name, err)
	}
	return false, nil
}

// countHandler asks for a user's server when the counts may have changed, and gathers such changes: an
// import of thousands of users is not thousands of writes.
func (r *serverReconciler) countHandler() handler.EventHandler {
	enqueue := func(obj client.Object, q queue) {
		if user, ok := obj.(*v1alpha1.RelayUser); ok {
			q.AddAfter(request(user.Namespace, user.Spec.ServerRef.Name), r.countDelay)
		}
	}
	return handler.Funcs{
		CreateFunc: func(_ context.Context, e event.CreateEvent, q queue) { enqueue(e.Object, q) },
		DeleteFunc: func(_ context.Context, e event.DeleteEvent, q queue) { enqueue(e.Object, q) },
		UpdateFunc: func(_ context.Context, e event.UpdateEvent, q queue) {
			if boundSlotsOf(e.ObjectOld) != boundSlotsOf(e.ObjectNew) {
				enqueue(e.ObjectNew, q)
			}
		},
	}
}

func boundSlotsOf(obj client.Object) int32 {
	user, ok := obj.(*v1alpha1.RelayUser)
	if !ok {
		return 0
	}
	var n int32
	for i := range user.Status.Slots {
		if user.Status.Slots[i].Binding != nil {
			n++
		}
	}
	return n
}

func (r *serverReconciler) countUsers(ctx context.Context, server *v1alpha1.RelayServer, found *serverFindings) error {
	users, err := usersOfServer(ctx, r, server.Namespace, server.Name)
	if err != nil {
		return err
	}
	found.users = int32(min(len(users), math.MaxInt32))
	for i := range users {
		found.boundSlots += boundSlotsOf(&users[i])
	}
	return nil
}

// usersOfServer lists a server's users. They are the cache's own objects and must not be changed: with
// 100,000 users, copying them is what costs.
func usersOfServer(ctx context.Context, c client.Reader, namespace, server string) ([]v1alpha1.RelayUser, error) {
	var users v1alpha1.RelayUserList
	err := c.List(ctx, &users, client.InNamespace(namespace), client.MatchingFields{indexUserServer: server},
		client.UnsafeDisableDeepCopy)
	if err != nil {
		return nil, fmt.Errorf("list users of %s/%s: %w", namespace, server, err)
	}
	return users.Items, nil
}
