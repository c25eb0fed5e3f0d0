package controllers

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"
	rbacv1ac "k8s.io/client-go/applyconfigurations/rbac/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	historyv1alpha1 "github.com/tegata-dev/tegata/api/history/v1alpha1"
	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/credential"
	"github.com/tegata-dev/tegata/internal/fingerprint"
	"github.com/tegata-dev/tegata/internal/nas"
)

// SidecarAccessName is the name of the ServiceAccount, Role and RoleBinding of a server's sidecars.
func SidecarAccessName(server string) string { return server + "-sidecar" }

// sidecarRules are all that a server's sidecars may do.
//
// RBAC can limit neither the fields of a status nor, for requests that create, the name of an object: the
// policies in config/policies hold the sidecars to their own server's Leases, and to what they are to write.
func sidecarRules(server string) []rbacv1.PolicyRule {
	group := []string{v1alpha1.GroupVersion.Group}
	read := []string{"get", "list", "watch"}
	return []rbacv1.PolicyRule{
		{APIGroups: group, Resources: []string{"relayusers"}, Verbs: read},
		// "serve" is asked for by the policies only: it tells them whom to hold.
		{APIGroups: group, Resources: []string{"relayusers/status"}, Verbs: []string{"patch", "serve"}},
		{APIGroups: group, Resources: []string{"relayservers"}, ResourceNames: []string{server}, Verbs: read},
		{
			APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: read,
			ResourceNames: append([]string{fingerprint.SecretName(server), nas.SecretName(server)}, credential.SecretNames(server)...),
		},
		{
			APIGroups: []string{"coordination.k8s.io"}, Resources: []string{"leases"},
			Verbs: []string{"create", "get", "update", "patch", "delete"},
		},
		{
			APIGroups: []string{historyv1alpha1.GroupVersion.Group}, Resources: []string{"accesslogs/records"},
			ResourceNames: []string{server}, Verbs: []string{"create"},
		},
	}
}

// PodAccessName is the name of the RoleBinding that lets the ServiceAccounts of a server's injected pods do what its
// sidecars may.
func PodAccessName(server string) string { return server + "-sidecar-pods" }

// accessObject is one of the objects that give the sidecars their access.
type accessObject struct {
	kind, name string
	stored     client.Object
	// current says whether what is stored is what is wanted.
	current func() bool
	// apply is what is wanted. The uid, when not empty, keeps the request from touching another object.
	apply func(uid types.UID) runtime.ApplyConfiguration
}

// ensureSidecarAccess makes the ServiceAccount, Role and RoleBinding of the sidecars.
func (r *serverReconciler) ensureSidecarAccess(ctx context.Context, server *v1alpha1.RelayServer) (*obstacle, error) {
	for _, want := range []func(*v1alpha1.RelayServer) accessObject{sidecarAccount, sidecarRole, sidecarRoleBinding} {
		taken, err := ensureAccess(ctx, r, r.live, server, want)
		if taken != nil || err != nil {
			return taken, err
		}
	}
	return nil, nil
}

func ensureAccess(ctx context.Context, c client.Client, live client.Reader, server *v1alpha1.RelayServer, want func(*v1alpha1.RelayServer) accessObject) (*obstacle, error) {
	object := want(server)
	name := types.NamespacedName{Namespace: server.Namespace, Name: object.name}
	err := c.Get(ctx, name, object.stored)
	if err == nil && metav1.IsControlledBy(object.stored, server) && object.current() {
		return nil, nil
	}
	// The cache is behind its own writes, and shows only objects with our label.
	object = want(server)
	if err := live.Get(ctx, name, object.stored); apierrors.IsNotFound(err) {
		// Not forced: of an object that appears between these two requests, nothing is taken over.
		return nil, applyAccess(ctx, c, object, "")
	} else if err != nil {
		return nil, fmt.Errorf("get %s %s: %w", object.kind, name, err)
	}
	if !metav1.IsControlledBy(object.stored, server) {
		return nameTaken(object.kind, name.Name, server), nil
	}
	if object.current() {
		return nil, nil
	}
	return nil, applyAccess(ctx, c, object, object.stored.GetUID(), client.ForceOwnership)
}

func applyAccess(ctx context.Context, c client.Client, object accessObject, uid types.UID, options ...client.ApplyOption) error {
	if err := c.Apply(ctx, object.apply(uid), options...); err != nil {
		return fmt.Errorf("apply %s of sidecars: %w", object.kind, err)
	}
	return nil
}

// accessMeta are the metadata that all of the objects share.
type accessMeta[T any] interface {
	WithLabels(map[string]string) T
	WithOwnerReferences(...*metav1ac.OwnerReferenceApplyConfiguration) T
	WithUID(types.UID) T
}

func withMeta[T accessMeta[T]](apply T, server *v1alpha1.RelayServer, uid types.UID) T {
	apply = apply.WithLabels(serverLabels(server)).WithOwnerReferences(applyReference(serverReference(server)))
	if uid != "" {
		apply = apply.WithUID(uid)
	}
	return apply
}

func sidecarAccount(server *v1alpha1.RelayServer) accessObject {
	stored := &corev1.ServiceAccount{}
	return accessObject{
		kind: "ServiceAccount", name: SidecarAccessName(server.Name), stored: stored,
		current: func() bool { return hasLabels(stored, serverLabels(server)) },
		apply: func(uid types.UID) runtime.ApplyConfiguration {
			return withMeta(corev1ac.ServiceAccount(SidecarAccessName(server.Name), server.Namespace), server, uid)
		},
	}
}

func sidecarRole(server *v1alpha1.RelayServer) accessObject {
	stored, rules := &rbacv1.Role{}, sidecarRules(server.Name)
	return accessObject{
		kind: "Role", name: SidecarAccessName(server.Name), stored: stored,
		current: func() bool {
			return hasLabels(stored, serverLabels(server)) && equality.Semantic.DeepEqual(stored.Rules, rules)
		},
		apply: func(uid types.UID) runtime.ApplyConfiguration {
			role := withMeta(rbacv1ac.Role(SidecarAccessName(server.Name), server.Namespace), server, uid)
			for _, rule := range rules {
				role.WithRules(applyRule(rule))
			}
			return role
		},
	}
}

func applyRule(rule rbacv1.PolicyRule) *rbacv1ac.PolicyRuleApplyConfiguration {
	return rbacv1ac.PolicyRule().WithAPIGroups(rule.APIGroups...).WithResources(rule.Resources...).
		WithResourceNames(rule.ResourceNames...).WithVerbs(rule.Verbs...)
}

func sidecarRoleBinding(server *v1alpha1.RelayServer) accessObject {
	name := SidecarAccessName(server.Name)
	return roleBinding(server, name, []string{name})
}

// podRoleBinding binds other ServiceAccounts of the namespace to what the sidecars may do.
func podRoleBinding(server *v1alpha1.RelayServer, accounts []string) accessObject {
	return roleBinding(server, PodAccessName(server.Name), accounts)
}

func roleBinding(server *v1alpha1.RelayServer, name string, accounts []string) accessObject {
	stored, want := &rbacv1.RoleBinding{}, make([]rbacv1.Subject, len(accounts))
	for i, account := range accounts {
		want[i] = rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: server.Namespace, Name: account}
	}
	return accessObject{
		kind: "RoleBinding", name: name, stored: stored,
		// Whom it binds is held to; the role cannot be changed in place.
		current: func() bool { return hasLabels(stored, serverLabels(server)) && slices.Equal(stored.Subjects, want) },
		apply: func(uid types.UID) runtime.ApplyConfiguration {
			binding := withMeta(rbacv1ac.RoleBinding(name, server.Namespace), server, uid).
				WithRoleRef(rbacv1ac.RoleRef().WithAPIGroup(rbacv1.GroupName).WithKind("Role").WithName(SidecarAccessName(server.Name)))
			for _, s := range want {
				binding.WithSubjects(rbacv1ac.Subject().WithKind(s.Kind).WithNamespace(s.Namespace).WithName(s.Name))
			}
			return binding
		},
	}
}
