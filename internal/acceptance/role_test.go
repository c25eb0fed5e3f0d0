package acceptance

import (
	"context"
	"fmt"
	"slices"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/internal/credential"
	"github.com/tegata-dev/tegata/internal/testenv"
)

// right is something that a sidecar may do.
type right struct{ verb, group, resource, subresource, name string }

// TestSidecarRights asks the real authorizer about every verb on everything that is of interest to
// somebody who took over a sidecar; what it may do is this list and nothing else.
func TestSidecarRights(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testenv.Shared(t))
	as, err := client.New(w.env.ServiceAccountConfig(t, w.namespace, serverName+"-sidecar"), client.Options{Scheme: w.env.Scheme})
	must(t, err)

	allowed := map[right]bool{}
	allow := func(group, resource, subresource, name string, verbs ...string) {
		for _, verb := range verbs {
			allowed[right{verb, group, resource, subresource, name}] = true
		}
	}
	allow("tegata.dev", "relayusers", "", "", "get", "list", "watch")
	allow("tegata.dev", "relayusers", "", "anyone", "get", "list", "watch")
	allow("tegata.dev", "relayusers", "status", "", "patch", "serve")
	allow("tegata.dev", "relayusers", "status", "anyone", "patch", "serve")
	allow("tegata.dev", "relayservers", "", serverName, "get", "list", "watch")
	own := append(credential.SecretNames(serverName), serverName+"-keys", serverName+"-radius")
	for _, name := range own {
		allow("", "secrets", "", name, "get", "list", "watch")
	}
	allow("coordination.k8s.io", "leases", "", "", "create", "get", "update", "patch", "delete")
	allow("coordination.k8s.io", "leases", "", "anyone", "create", "get", "update", "patch", "delete")

	names := append([]string{"", "anyone", serverName, "asp2-keys", "asp2-radius", "asp2-credentials-0", "taro-password", "asp1-credentials-64"}, own...)
	asked := 0
	for _, resource := range []right{
		{group: "tegata.dev", resource: "relayusers"}, {group: "tegata.dev", resource: "relayusers", subresource: "status"},
		{group: "tegata.dev", resource: "relayservers"}, {group: "tegata.dev", resource: "relayservers", subresource: "status"},
		{group: "tegata.dev", resource: "deviceresets"}, {group: "tegata.dev", resource: "deviceresets", subresource: "status"},
		{resource: "secrets"}, {resource: "configmaps"}, {resource: "pods"}, {resource: "serviceaccounts"},
		{resource: "serviceaccounts", subresource: "token"}, {resource: "events"}, {group: "events.k8s.io", resource: "events"},
		{group: "coordination.k8s.io", resource: "leases"}, {group: "rbac.authorization.k8s.io", resource: "roles"},
		{group: "rbac.authorization.k8s.io", resource: "rolebindings"}, {resource: "users"}, {resource: "namespaces"},
	} {
		for _, verb := range []string{"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "impersonate", "escalate", "bind", "serve"} {
			for _, name := range names {
				if resource.resource != "secrets" && slices.Contains(own, name) {
					continue
				}
				r := right{verb, resource.group, resource.resource, resource.subresource, name}
				for _, namespace := range []string{w.namespace, "kube-system"} {
					want := namespace == w.namespace && (allowed[r] || allowed[right{verb, r.group, r.resource, r.subresource, ""}])
					if got := w.may(as, namespace, r); got != want {
						t.Errorf("%+v in %s: allowed is %v, want %v", r, namespace, got, want)
					}
					asked++
				}
			}
		}
	}
	t.Logf("%d questions", asked)
	if err := as.List(context.Background(), &corev1.SecretList{}, client.InNamespace(w.namespace)); !apierrors.IsForbidden(err) {
		t.Errorf("list of Secrets: %v, want it forbidden", err)
	}
}

func (w *world) may(as client.Client, namespace string, r right) bool {
	w.t.Helper()
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Namespace: namespace, Verb: r.verb, Group: r.group, Resource: r.resource, Subresource: r.subresource, Name: r.name,
		},
	}}
	if err := as.Create(context.Background(), review); err != nil {
		w.t.Fatal(fmt.Errorf("ask %+v: %w", r, err))
	}
	return review.Status.Allowed
}
