package doctor

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	historyv1alpha1 "github.com/tegata-dev/tegata/api/history/v1alpha1"
	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/liveness"
)

// right is what a verb of the plugin needs.
type right struct{ verb, group, resource, forWhat string }

var rights = []right{
	{"get", v1alpha1.GroupVersion.Group, "relayservers", "why, reset, doctor"},
	{"list", v1alpha1.GroupVersion.Group, "relayservers", "doctor"},
	{"get", v1alpha1.GroupVersion.Group, "relayusers", "all"},
	{"list", v1alpha1.GroupVersion.Group, "relayusers", "login names, why --id, users export, doctor"},
	{"patch", v1alpha1.GroupVersion.Group, "relayusers", "suspend, resume, sessions --end, passwd, users import"},
	{"create", v1alpha1.GroupVersion.Group, "relayusers", "users import"},
	{"delete", v1alpha1.GroupVersion.Group, "relayusers", "users delete"},
	{"create", v1alpha1.GroupVersion.Group, "deviceresets", "reset"},
	{"get", v1alpha1.GroupVersion.Group, "deviceresets", "reset"},
	{"watch", v1alpha1.GroupVersion.Group, "deviceresets", "reset"},
	{"get", "", "secrets", "passwd"},
	{"create", "", "secrets", "passwd"},
	{"patch", "", "secrets", "passwd"},
	{"get", historyv1alpha1.GroupVersion.Group, "accessrecords", "why --id"},
	{"list", historyv1alpha1.GroupVersion.Group, "accessrecords", "history, sessions"},
	{"watch", historyv1alpha1.GroupVersion.Group, "accessrecords", "history --follow"},
	{"deletecollection", historyv1alpha1.GroupVersion.Group, "accessrecords", "history forget"},
	{"get", historyv1alpha1.GroupVersion.Group, "userusages", "history"},
	{"list", "coordination.k8s.io", "leases", "doctor"},
}

func (r right) String() string {
	resource := r.resource
	if r.group != "" {
		resource += "." + r.group
	}
	return r.verb + " " + resource + " (for " + r.forWhat + ")"
}

// checkRights asks the API server what the reader may do.
func (o *options) checkRights(ctx context.Context) {
	var missing []string
	for _, r := range rights {
		review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
			ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: o.Namespace, Verb: r.verb, Group: r.group, Resource: r.resource},
		}}
		if err := o.client.Create(ctx, review); err != nil {
			o.found("rights", Unknown, "", "the API server does not say what you may do: %v", err)
			return
		}
		if !review.Status.Allowed {
			missing = append(missing, r.String())
		}
	}
	if len(missing) == 0 {
		o.found("rights", OK, "", "you may do all of it in namespace %s", o.Namespace)
		return
	}
	if len(missing) == len(rights) {
		o.found("rights", Warning, "choose the relay's namespace with -n, or ask for a Role: docs/kubectl-relay.md", "you may do nothing in namespace %s", o.Namespace)
		return
	}
	o.found("rights", Warning, "docs/kubectl-relay.md has a Role", "in namespace %s you may not %s", o.Namespace, strings.Join(missing, ", "))
}

// unreadable tells of what cannot be read.
func (o *options) unreadable(check, resource string, err error) {
	if apierrors.IsForbidden(err) {
		o.found(check, Unknown, "", "you may not list %s in namespace %s", resource, o.Namespace)
		return
	}
	o.found(check, Unknown, "", "list %s: %v", resource, err)
}

// checkServers passes on what the servers' conditions say.
func (o *options) checkServers(ctx context.Context) {
	var servers v1alpha1.RelayServerList
	if err := o.client.List(ctx, &servers, client.InNamespace(o.Namespace)); err != nil {
		o.unreadable("servers", "relayservers", err)
		return
	}
	if len(servers.Items) == 0 {
		o.found("servers", Warning, "choose the relay's namespace with -n", "there is no RelayServer in namespace %s", o.Namespace)
	}
	for i := range servers.Items {
		o.checkServer(&servers.Items[i])
	}
}

func (o *options) checkServer(server *v1alpha1.RelayServer) {
	check := "server " + server.Name
	conditions := server.Status.Conditions
	if ready := meta.FindStatusCondition(conditions, v1alpha1.ConditionReady); ready == nil || ready.ObservedGeneration != server.Generation {
		o.found(check, Problem, "kubectl get pods -n "+systemNamespace, "the manager has not looked at it")
		return
	}
	bad := 0
	for i := range conditions {
		c := &conditions[i]
		if c.Status == metav1.ConditionTrue {
			continue
		}
		bad++
		o.found(check, levelOf(c), "docs/relayserver.md#status", "%s is %s (%s): %s", c.Type, c.Status, c.Reason, c.Message)
	}
	if bad == 0 {
		o.found(check, OK, "", "ready; live sidecars: %d, users: %d, devices: %d", server.Status.LiveSidecars, server.Status.Users, server.Status.BoundDevices)
	}
}

// levelOf tells what keeps people out from what does not.
func levelOf(c *metav1.Condition) Level {
	switch {
	case strings.Contains(c.Type, "History"), c.Status == metav1.ConditionUnknown:
		return Warning
	}
	return Problem
}

// checkSidecars looks for Leases that have run out: such a sidecar admits nobody, and resets wait for it until its
// time is over.
func (o *options) checkSidecars(ctx context.Context) {
	var leases coordinationv1.LeaseList
	err := o.client.List(ctx, &leases, client.InNamespace(o.Namespace), client.MatchingLabels{liveness.LabelComponent: liveness.ComponentSidecar})
	if err != nil {
		o.unreadable("sidecars", "leases", err)
		return
	}
	live := 0
	for i := range leases.Items {
		lease := &leases.Items[i]
		silent, stale := o.silence(lease)
		if !stale {
			live++
			continue
		}
		o.found("sidecars", Warning, "look at the pod; the manager removes the Lease of one that is gone",
			"%s has not been heard for %s, and admits nobody", liveness.Holder(lease), silent.Round(time.Second))
	}
	if live > 0 || len(leases.Items) == 0 {
		o.found("sidecars", OK, "", "%d live", live)
	}
}

func (o *options) silence(lease *coordinationv1.Lease) (time.Duration, bool) {
	if lease.Spec.RenewTime == nil || lease.Spec.LeaseDurationSeconds == nil {
		return 0, true
	}
	silent := o.clock.Sub(lease.Spec.RenewTime.Time)
	return silent, silent > time.Duration(*lease.Spec.LeaseDurationSeconds)*time.Second+maxSkew
}

// maxNamed is how many users are named of a kind of trouble.
const maxNamed = 5

// checkUsers counts users who are not ready, by the reason.
func (o *options) checkUsers(ctx context.Context) {
	total := 0
	troubled := map[string][]string{}
	err := o.EachUser(ctx, o.client, func(user *v1alpha1.RelayUser) error {
		total++
		ready := meta.FindStatusCondition(user.Status.Conditions, v1alpha1.ConditionReady)
		switch {
		case ready == nil:
			troubled["not looked at by the manager yet"] = append(troubled["not looked at by the manager yet"], user.Name)
		case ready.Status != metav1.ConditionTrue:
			troubled[ready.Reason] = append(troubled[ready.Reason], user.Name)
		}
		return nil
	})
	if err != nil {
		o.unreadable("users", "relayusers", err)
		return
	}
	if len(troubled) == 0 {
		o.found("users", OK, "", "%d, all ready", total)
		return
	}
	for _, reason := range slices.Sorted(maps.Keys(troubled)) {
		names := troubled[reason]
		more := ""
		if len(names) > maxNamed {
			more = ", …"
		}
		o.found("users", Warning, "docs/relayuser.md#status", "%d of %d are not ready (%s): %s%s", len(names), total, reason,
			strings.Join(names[:min(len(names), maxNamed)], ", "), more)
	}
}
