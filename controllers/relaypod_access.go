package controllers

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/api/v1alpha1"
)

const (
	// defaultAccount is that of every pod that names none.
	defaultAccount = "default"
	// sidecarContainer is what the policies let nothing but a sidecar be called.
	sidecarContainer = "tegata-sidecar"
	// maxPodAccounts bounds the RoleBinding of a server. One is what a relay needs.
	maxPodAccounts = 100
	// manyPods is from how many pods on that are new it is cheaper to list them all.
	manyPods    = 20
	podPageSize = 500
)

// learn reads as whom the pods run that are not known yet. Metadata do not tell, and nothing but the pod itself is to
// be believed.
func (r *podReconciler) learn(ctx context.Context, server types.NamespacedName, pods []metav1.PartialObjectMetadata, memory *podMemory) error {
	var unknown []string
	for i := range pods {
		if _, known := memory.accounts[pods[i].UID]; !known {
			unknown = append(unknown, pods[i].Name)
		}
	}
	if len(unknown) > manyPods {
		return r.learnAll(ctx, server, memory)
	}
	for _, name := range unknown {
		pod := &corev1.Pod{}
		err := r.live.Get(ctx, types.NamespacedName{Namespace: server.Namespace, Name: name}, pod)
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return fmt.Errorf("get pod %s/%s: %w", server.Namespace, name, err)
		}
		memory.accounts[pod.UID] = accountOf(pod)
	}
	return nil
}

func (r *podReconciler) learnAll(ctx context.Context, server types.NamespacedName, memory *podMemory) error {
	page := &corev1.PodList{}
	for {
		err := r.live.List(ctx, page, client.InNamespace(server.Namespace), client.Limit(podPageSize),
			client.Continue(page.Continue), client.MatchingLabels{v1alpha1.LabelRelayServer: server.Name})
		if err != nil {
			return fmt.Errorf("list pods of %s: %w", server, err)
		}
		for i := range page.Items {
			memory.accounts[page.Items[i].UID] = accountOf(&page.Items[i])
		}
		if page.Continue == "" {
			return nil
		}
	}
}

// accountOf is as whom a pod's sidecar runs, nobody where the pod has none: a label can be put on a pod that is there,
// where the policies are not, or by requests that they do not see.
func accountOf(pod *corev1.Pod) string {
	if slices.ContainsFunc(pod.Spec.InitContainers, func(c corev1.Container) bool { return c.Name == sidecarContainer }) {
		return pod.Spec.ServiceAccountName
	}
	return ""
}

// grant binds the accounts of the pods to the Role of the server's sidecars, and returns how long until one may have
// to go. Unless the Role is the server's, which its condition Ready tells, nothing is bound to it.
func (r *podReconciler) grant(ctx context.Context, server *v1alpha1.RelayServer, pods []metav1.PartialObjectMetadata, memory *podMemory) (time.Duration, error) {
	role := &rbacv1.Role{}
	err := r.Get(ctx, types.NamespacedName{Namespace: server.Namespace, Name: SidecarAccessName(server.Name)}, role)
	if apierrors.IsNotFound(err) || (err == nil && !metav1.IsControlledBy(role, server)) {
		return 0, nil // asked again when it comes
	}
	if err != nil {
		return 0, fmt.Errorf("get role of sidecars: %w", err)
	}
	stored := &rbacv1.RoleBinding{}
	err = r.Get(ctx, types.NamespacedName{Namespace: server.Namespace, Name: PodAccessName(server.Name)}, stored)
	if client.IgnoreNotFound(err) != nil {
		return 0, fmt.Errorf("get role binding of pods: %w", err)
	}
	wanted := wantedAccounts(server, pods, memory.accounts)
	bound, wait := withGrace(boundAccounts(stored), wanted.accounts, memory.absent, r.clock.Now(), r.grace)
	if len(bound) == 0 {
		err = r.revoke(ctx, server, stored)
	} else {
		var taken *obstacle
		taken, err = ensureAccess(ctx, r, r.live, server, func(server *v1alpha1.RelayServer) accessObject {
			return podRoleBinding(server, bound)
		})
		if taken != nil {
			wait = earliest(wait, r.warn(memory, pods, taken.reason, taken.message))
		}
	}
	return earliest(wait, r.warnRefused(memory, wanted)), err
}

// revoke deletes the RoleBinding, if it is the server's and as it was seen.
func (r *podReconciler) revoke(ctx context.Context, server *v1alpha1.RelayServer, stored *rbacv1.RoleBinding) error {
	if !metav1.IsControlledBy(stored, server) {
		return nil // there is none, or it is somebody else's
	}
	err := r.Delete(ctx, stored, client.Preconditions{UID: &stored.UID, ResourceVersion: &stored.ResourceVersion})
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("delete role binding of pods: %w", err)
	}
	return nil
}

// podAccounts are the accounts that pods run as, and the pods whose accounts get nothing.
type podAccounts struct {
	accounts          []string
	asDefault, beyond []metav1.PartialObjectMetadata
}

// wantedAccounts decides which accounts are to be bound: those of the oldest pods, if there are very many. That of the
// sidecars is bound anyhow.
func wantedAccounts(server *v1alpha1.RelayServer, pods []metav1.PartialObjectMetadata, known map[types.UID]string) podAccounts {
	var wanted podAccounts
	for i := range pods {
		account := known[pods[i].UID]
		switch {
		case account == "" || account == SidecarAccessName(server.Name) || slices.Contains(wanted.accounts, account):
		case account == defaultAccount:
			wanted.asDefault = append(wanted.asDefault, pods[i])
		case len(wanted.accounts) == maxPodAccounts:
			wanted.beyond = append(wanted.beyond, pods[i])
		default:
			wanted.accounts = append(wanted.accounts, account)
		}
	}
	return wanted
}

// boundAccounts are those that a RoleBinding binds.
func boundAccounts(stored *rbacv1.RoleBinding) []string {
	var accounts []string
	for _, subject := range stored.Subjects {
		if subject.Kind == rbacv1.ServiceAccountKind && subject.Namespace == stored.Namespace {
			accounts = append(accounts, subject.Name)
		}
	}
	return accounts
}

// withGrace adds to the accounts that are wanted those that are bound and were wanted a moment ago: between the pods of
// one version and those of the next there may be none. It notes in absent since when, and returns how long until the
// next is to go. Those that are wanted come first where there are as many as a RoleBinding may bind.
func withGrace(bound, wanted []string, absent map[string]time.Time, now time.Time, grace time.Duration) ([]string, time.Duration) {
	accounts, wait := slices.Clone(wanted), time.Duration(0)
	for account := range absent {
		if slices.Contains(wanted, account) || !slices.Contains(bound, account) {
			delete(absent, account)
		}
	}
	for _, account := range bound {
		if slices.Contains(wanted, account) {
			continue
		}
		if _, noted := absent[account]; !noted {
			absent[account] = now
		}
		if left := grace - now.Sub(absent[account]); left > 0 && len(accounts) < maxPodAccounts {
			accounts = append(accounts, account)
			wait = earliest(wait, left)
		}
	}
	slices.Sort(accounts)
	return slices.Compact(accounts), wait
}
