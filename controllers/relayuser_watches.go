package controllers

import (
	"bytes"
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/bindingrecord"
)

// userChanged passes the changes of a user that may change a condition or the credential. A sidecar that
// counts one more failure, or notes one more login, is not among them.
func userChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, wasUser := e.ObjectOld.(*v1alpha1.RelayUser)
		after, isUser := e.ObjectNew.(*v1alpha1.RelayUser)
		return wasUser && isUser && (before.Generation != after.Generation ||
			!equality.Semantic.DeepEqual(before.Status.Conditions, after.Status.Conditions) ||
			!sameBindings(before, after) ||
			!slices.Equal(slotsToReset(before), slotsToReset(after)) ||
			!slices.Equal(boundNotPermitted(before), boundNotPermitted(after)))
	}}
}

// sameBindings says whether a user's record need not be looked at again.
func sameBindings(before, after *v1alpha1.RelayUser) bool {
	return len(before.Status.Slots) == len(after.Status.Slots) &&
		bindingrecord.Forgets(before) == bindingrecord.Forgets(after) &&
		equality.Semantic.DeepEqual(bindingrecord.Of(&before.Status), bindingrecord.Of(&after.Status))
}

// comesOrGoes passes creations and deletions.
func comesOrGoes() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(event.UpdateEvent) bool { return false }}
}

// readinessChanged passes what makes a difference to a server's users.
func readinessChanged() predicate.Predicate {
	readiness := func(obj client.Object) string {
		server, ok := obj.(*v1alpha1.RelayServer)
		if !ok {
			return ""
		}
		if c := meta.FindStatusCondition(server.Status.Conditions, v1alpha1.ConditionReady); c != nil {
			return string(c.Status) + c.Reason
		}
		return ""
	}
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		return readiness(e.ObjectOld) != readiness(e.ObjectNew)
	}}
}

func requestsFor(users []v1alpha1.RelayUser) []reconcile.Request {
	requests := make([]reconcile.Request, len(users))
	for i := range users {
		requests[i] = request(users[i].Namespace, users[i].Name)
	}
	return requests
}

// enqueueNamesakes asks for the other users with a user's login name: when the one who is served goes, the
// next in line is served.
func (r *userReconciler) enqueueNamesakes() handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, obj client.Object) []reconcile.Request {
		user, ok := obj.(*v1alpha1.RelayUser)
		if !ok {
			return nil
		}
		var requests []reconcile.Request
		for _, key := range loginKeys(user) {
			namesakes, err := namesakesOf(ctx, r, user.Namespace, key)
			if err != nil {
				log.FromContext(ctx).Error(err, "Users with one login name were not looked at")
			}
			requests = append(requests, requestsFor(namesakes)...)
		}
		return requests
	})
}

func (r *userReconciler) enqueueUsersOfServer() handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, obj client.Object) []reconcile.Request {
		users, err := usersOfServer(ctx, r, obj.GetNamespace(), obj.GetName())
		if err != nil {
			log.FromContext(ctx).Error(err, "Users of a server were not looked at")
		}
		return requestsFor(users)
	})
}

// secretHandler asks for the users whose password is in a Secret, and for those whose credential or record was
// changed or removed by somebody else, or by a write that this one crossed.
func (r *userReconciler) secretHandler() handler.EventHandler {
	enqueue := func(ctx context.Context, q queue, obj client.Object, before, after client.Object) {
		for _, req := range r.usersOfPassword(ctx, obj) {
			q.Add(req)
		}
		for _, key := range changedRecords(before, after) {
			for _, req := range r.find(ctx, obj.GetNamespace(), indexUserRecord, recordKey(obj.GetLabels()[v1alpha1.LabelRelayServer], key)) {
				q.Add(req)
			}
		}
		for _, uid := range changedEntries(before, after) {
			for _, req := range r.userWithUID(ctx, obj.GetNamespace(), uid) {
				q.Add(req)
			}
		}
	}
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, q queue) { enqueue(ctx, q, e.Object, nil, e.Object) },
		DeleteFunc: func(ctx context.Context, e event.DeleteEvent, q queue) {
			enqueue(ctx, q, e.Object, e.Object, nil)
		},
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q queue) {
			if e.ObjectOld.GetResourceVersion() != e.ObjectNew.GetResourceVersion() {
				enqueue(ctx, q, e.ObjectNew, e.ObjectOld, e.ObjectNew)
			}
		},
	}
}

// changedEntries are the UIDs of users whose credential was in the one Secret and is not, or is another, in
// the other.
func changedEntries(before, after client.Object) []string {
	old, ok := before.(*corev1.Secret)
	if !ok || old.Labels[v1alpha1.LabelSecretType] != v1alpha1.SecretTypeCredentials {
		return nil
	}
	var data map[string][]byte
	if secret, ok := after.(*corev1.Secret); ok {
		data = secret.Data
	}
	var changed []string
	for key, value := range old.Data {
		if !bytes.Equal(data[key], value) {
			changed = append(changed, key)
		}
	}
	return changed
}

// changedRecords are the keys of records that are another in one Secret than in the other, or in one of them only.
func changedRecords(before, after client.Object) []string {
	was, is := recordsIn(before), recordsIn(after)
	var changed []string
	for key, value := range was {
		if !bytes.Equal(is[key], value) {
			changed = append(changed, key)
		}
	}
	for key := range is {
		if _, known := was[key]; !known {
			changed = append(changed, key)
		}
	}
	return changed
}

func recordsIn(obj client.Object) map[string][]byte {
	secret, ok := obj.(*corev1.Secret)
	if !ok || secret.Labels[v1alpha1.LabelSecretType] != v1alpha1.SecretTypeBindings {
		return nil
	}
	return secret.Data
}

func (r *userReconciler) usersOfPassword(ctx context.Context, secret client.Object) []reconcile.Request {
	return r.find(ctx, secret.GetNamespace(), indexUserPassword, secret.GetName())
}

func (r *userReconciler) userWithUID(ctx context.Context, namespace, uid string) []reconcile.Request {
	return r.find(ctx, namespace, indexUserUID, uid)
}

func (r *userReconciler) find(ctx context.Context, namespace, index, key string) []reconcile.Request {
	var users v1alpha1.RelayUserList
	err := r.List(ctx, &users, client.InNamespace(namespace), client.MatchingFields{index: key}, client.UnsafeDisableDeepCopy)
	if err != nil {
		log.FromContext(ctx).Error(err, "Users of a Secret were not looked at")
	}
	return requestsFor(users.Items)
}
