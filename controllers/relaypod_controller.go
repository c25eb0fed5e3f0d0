package controllers

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/tegata-dev/tegata/api/v1alpha1"
)

// podReconciler lets the ServiceAccounts of pods that ask for a server's sidecar, by its label, do what the sidecars
// of that server may, and takes it away when no such pod is left. It works by server, not by pod.
//
// Whoever makes a pod may name any ServiceAccount of the namespace, that of the sidecars included, and mount any Secret:
// so that the label gives rights to a pod's own account gives nothing to who makes pods. It must not give them to pods
// that did not ask, though: the account that every pod has by default gets none.
type podReconciler struct {
	client.Client
	live         client.Reader
	clock        clock.PassiveClock
	recorder     events.EventRecorder
	delay, grace time.Duration

	mu      sync.Mutex
	servers map[types.NamespacedName]*podMemory
}

// podMemory is what is remembered of one server's pods.
type podMemory struct {
	// accounts are the ServiceAccounts of the pods, which never change.
	accounts map[types.UID]string
	// absent is since when an account that is bound has had no pod.
	absent map[string]time.Time
	// warned is when pods were last told that something is wrong.
	warned map[warning]time.Time
}

type warning struct {
	pod    types.UID
	reason string
}

func newPodReconciler(mgr ctrl.Manager, o Options) *podReconciler {
	return &podReconciler{
		Client: mgr.GetClient(), live: mgr.GetAPIReader(), clock: o.Clock, recorder: mgr.GetEventRecorder(FieldOwner),
		delay: o.PodDelay, grace: o.PodGrace, servers: map[types.NamespacedName]*podMemory{},
	}
}

func (r *podReconciler) setup(mgr ctrl.Manager, o Options) error {
	comesOrGoes := predicate.Funcs{UpdateFunc: func(event.UpdateEvent) bool { return false }}
	return ctrl.NewControllerManagedBy(mgr).
		Named("relaypod").
		For(&v1alpha1.RelayServer{}, builder.WithPredicates(comesOrGoes)).
		Watches(&rbacv1.Role{}, enqueueServerOf()).
		Watches(&rbacv1.RoleBinding{}, enqueueServerOf()).
		WatchesMetadata(&corev1.Pod{}, r.podHandler()).
		WithOptions(controller.Options{MaxConcurrentReconciles: 2, SkipNameValidation: &o.SkipNameValidation}).
		Complete(r)
}

// podHandler asks for the server of a pod that comes or goes, and gathers such pods: a rollout is not as many writes.
// Which server a pod names and as whom it runs does not change while it is there.
func (r *podReconciler) podHandler() handler.EventHandler {
	enqueue := func(obj client.Object, q queue) {
		for _, req := range requestServerOf(obj) {
			q.AddAfter(req, r.delay)
		}
	}
	return handler.Funcs{
		CreateFunc: func(_ context.Context, e event.CreateEvent, q queue) { enqueue(e.Object, q) },
		DeleteFunc: func(_ context.Context, e event.DeleteEvent, q queue) { enqueue(e.Object, q) },
	}
}

// stripPod keeps of a pod what names it.
func stripPod(obj any) (any, error) {
	if pod, ok := obj.(*metav1.PartialObjectMetadata); ok {
		pod.ManagedFields, pod.Annotations, pod.OwnerReferences = nil, nil, nil
	}
	return obj, nil
}

// Reconcile brings the rights of one server's pods up to date.
func (r *podReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	pods, err := r.pods(ctx, req.NamespacedName)
	if err != nil {
		return ctrl.Result{}, err
	}
	memory := r.remember(req.NamespacedName, pods)
	server := &v1alpha1.RelayServer{}
	if err := r.Get(ctx, req.NamespacedName, server); apierrors.IsNotFound(err) {
		return ctrl.Result{RequeueAfter: r.missing(req.NamespacedName, pods, memory)}, nil
	} else if err != nil {
		return ctrl.Result{}, fmt.Errorf("get RelayServer %s: %w", req, err)
	}
	if server.DeletionTimestamp != nil {
		return ctrl.Result{}, nil // what is bound goes with it
	}
	if err := r.learn(ctx, req.NamespacedName, pods, memory); err != nil {
		return ctrl.Result{}, err
	}
	return outcome(r.grant(ctx, server, pods, memory))
}

// pods are the pods that ask for a server's sidecar, the oldest first.
func (r *podReconciler) pods(ctx context.Context, server types.NamespacedName) ([]metav1.PartialObjectMetadata, error) {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("PodList"))
	err := r.List(ctx, list, client.InNamespace(server.Namespace), client.MatchingLabels{v1alpha1.LabelRelayServer: server.Name})
	if err != nil {
		return nil, fmt.Errorf("list pods of %s: %w", server, err)
	}
	slices.SortFunc(list.Items, func(a, b metav1.PartialObjectMetadata) int {
		if c := a.CreationTimestamp.Compare(b.CreationTimestamp.Time); c != 0 {
			return c
		}
		return cmp.Compare(a.UID, b.UID)
	})
	return list.Items, nil
}

// remember is what is known of a server's pods, without those that are gone.
func (r *podReconciler) remember(server types.NamespacedName, pods []metav1.PartialObjectMetadata) *podMemory {
	r.mu.Lock()
	defer r.mu.Unlock()
	memory := r.servers[server]
	if memory == nil {
		memory = &podMemory{accounts: map[types.UID]string{}, absent: map[string]time.Time{}, warned: map[warning]time.Time{}}
		r.servers[server] = memory
	}
	there := make(map[types.UID]bool, len(pods))
	for i := range pods {
		there[pods[i].UID] = true
	}
	maps.DeleteFunc(memory.accounts, func(uid types.UID, _ string) bool { return !there[uid] })
	maps.DeleteFunc(memory.warned, func(w warning, _ time.Time) bool { return !there[w.pod] })
	return memory
}

// missing tells the pods that there is no such server. What was bound has gone with it.
func (r *podReconciler) missing(server types.NamespacedName, pods []metav1.PartialObjectMetadata, memory *podMemory) time.Duration {
	if len(pods) == 0 {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.servers, server)
		return 0
	}
	clear(memory.absent)
	return r.warn(memory, pods, eventServerNotFound, fmt.Sprintf("there is no RelayServer %s in this namespace, so the "+
		"sidecar may do nothing and nobody can log in: make it, or mend the label %s", server.Name, v1alpha1.LabelRelayServer))
}
