package doctor

import (
	"context"
	"strconv"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	historyv1alpha1 "github.com/tegata-dev/tegata/api/history/v1alpha1"
	"github.com/tegata-dev/tegata/api/v1alpha1"
)

const (
	// oldestMinor is that of the oldest Kubernetes 1.x that is supported, stampMinor of the oldest that fills
	// spec.requestedBy in.
	oldestMinor, stampMinor = 33, 36
	// maxSkew is how far this machine's clock may be from the API server's.
	maxSkew = 5 * time.Second
	// systemNamespace is where config/manager installs the manager.
	systemNamespace = "tegata-system"
)

func (o *options) checkAPIServer() bool {
	version, err := o.discovery.ServerVersion()
	if err != nil {
		o.found("API server", Problem, "kubectl config current-context says which cluster is asked", "it does not answer: %v", err)
		return false
	}
	minor, err := strconv.Atoi(strings.TrimRight(version.Minor, "+"))
	if err == nil && version.Major == "1" && minor < oldestMinor {
		o.found("API server", Warning, "upgrade the cluster", "Kubernetes %s is older than 1.%d, the oldest that is supported", version.GitVersion, oldestMinor)
		return true
	}
	o.found("API server", OK, "", "Kubernetes %s", version.GitVersion)
	return true
}

// checkClock compares this machine's clock, by which --since is reckoned, with the API server's.
func (o *options) checkClock(ctx context.Context) {
	before := o.Now()
	server, err := o.ServerTime(ctx)
	if err != nil {
		o.clock = o.Now()
		o.found("clock", Unknown, "", "%v", err)
		return
	}
	o.clock = server
	// The answer has whole seconds, and was made somewhere between before and now.
	skew := max(server.Sub(o.Now()), before.Sub(server.Add(time.Second)), 0)
	if skew > maxSkew {
		o.found("clock", Warning, "set this machine's clock (NTP)", "it differs from the API server's by %s or more", skew.Round(time.Second))
		return
	}
	o.found("clock", OK, "", "this machine and the API server agree")
}

// checkKinds looks at what is served, which everybody may.
func (o *options) checkKinds() bool {
	const fix = "as the cluster's administrator: kubectl apply --server-side -k config/crd"
	list, err := o.discovery.ServerResourcesForGroupVersion(v1alpha1.GroupVersion.String())
	if err != nil {
		o.found("kinds", Problem, fix, "Tegata is not installed: %v", err)
		return false
	}
	served := map[string]bool{}
	for i := range list.APIResources {
		served[list.APIResources[i].Name] = true
	}
	for _, resource := range []string{"relayservers", "relayusers", "deviceresets"} {
		if !served[resource] {
			o.found("kinds", Problem, fix, "%s is not served", resource)
			return false
		}
	}
	o.found("kinds", OK, "", "RelayServer, RelayUser and DeviceReset are served as %s", v1alpha1.GroupVersion)
	return true
}

// get reads an object of a kind that the plugin has no type of. ok is false when it cannot be read, which is told.
func (o *options) get(ctx context.Context, check string, kind schema.GroupVersionKind, key client.ObjectKey, missing Finding) (*unstructured.Unstructured, bool) {
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(kind)
	err := o.client.Get(ctx, key, object)
	switch {
	case err == nil:
		return object, true
	case apierrors.IsNotFound(err):
		o.findings = append(o.findings, missing)
	case apierrors.IsForbidden(err):
		o.found(check, Unknown, "", "you may not see %s %s; the cluster's administrator may", kind.Kind, key.Name)
	default:
		o.found(check, Unknown, "", "%s %s: %v", kind.Kind, key.Name, err)
	}
	return nil, false
}

// policies are those of config/policies.
var policies = []string{"tegata-devicereset-requested-by", "tegata-relay-pods", "tegata-sidecar-leases", "tegata-sidecar-status"}

// checkPolicies looks for those that must be there, and whether all that are there are in force.
func (o *options) checkPolicies(ctx context.Context) {
	kind := schema.GroupVersionKind{Group: "admissionregistration.k8s.io", Version: "v1", Kind: "ValidatingAdmissionPolicy"}
	found := 0
	for _, name := range policies {
		missing := Finding{"policies", Problem, "the admission policy " + name + " is missing",
			"as the cluster's administrator: kubectl apply -k config/policies"}
		if _, ok := o.get(ctx, "policies", kind, client.ObjectKey{Name: name}, missing); ok {
			found++
		}
	}
	if found == 0 {
		return // which was told
	}
	before := len(o.findings)
	if _, ok := o.inForce(ctx, "policies", "ValidatingAdmissionPolicy"); !ok || len(o.findings) > before {
		return
	}
	if found == len(policies) {
		o.found("policies", OK, "", "the %d admission policies are installed", found)
	}
}

// checkManager looks at the Lease that the manager which works renews.
func (o *options) checkManager(ctx context.Context) {
	kind := schema.GroupVersionKind{Group: "coordination.k8s.io", Version: "v1", Kind: "Lease"}
	missing := Finding{"manager", Warning, "no manager has ever led in " + systemNamespace,
		"kubectl apply -k config/manager, unless it runs elsewhere or without --leader-elect"}
	lease, ok := o.get(ctx, "manager", kind, client.ObjectKey{Namespace: systemNamespace, Name: "tegata-manager"}, missing)
	if !ok {
		return
	}
	text, _, _ := unstructured.NestedString(lease.Object, "spec", "renewTime")
	seconds, _, _ := unstructured.NestedInt64(lease.Object, "spec", "leaseDurationSeconds")
	renewed, err := time.Parse(time.RFC3339Nano, text)
	if silent := o.clock.Sub(renewed); err != nil || silent > time.Duration(seconds)*time.Second+maxSkew {
		o.found("manager", Problem, "kubectl get pods -n "+systemNamespace, "no manager works: the last one was heard %s ago", silent.Round(time.Second))
		return
	}
	o.found("manager", OK, "", "a manager works")
}

// checkHistory looks at whether the access history is installed, and answers.
func (o *options) checkHistory(ctx context.Context) {
	kind := schema.GroupVersionKind{Group: "apiregistration.k8s.io", Version: "v1", Kind: "APIService"}
	name := historyv1alpha1.GroupVersion.Version + "." + historyv1alpha1.GroupVersion.Group
	var list historyv1alpha1.AccessRecordList
	err := o.client.List(ctx, &list, client.InNamespace(o.Namespace), client.Limit(1))
	switch {
	case err == nil:
		o.found("history", OK, "", "the access history answers")
		return
	case apierrors.IsForbidden(err):
		o.found("history", OK, "", "the access history answers; you may not list accessrecords in namespace %s", o.Namespace)
		return
	}
	missing := Finding{"history", Warning, "there is no access history: only the newest failures are kept, in the status of users",
		"docs/history.md#install-it"}
	service, ok := o.get(ctx, "history", kind, client.ObjectKey{Name: name}, missing)
	if !ok {
		return
	}
	conditions, _, _ := unstructured.NestedSlice(service.Object, "status", "conditions")
	for _, each := range conditions {
		if condition, _ := each.(map[string]any); condition["type"] == "Available" && condition["status"] != "True" {
			o.found("history", Problem, "kubectl describe apiservice "+name, "the access history is installed and not available: %v", condition["message"])
			return
		}
	}
	o.found("history", Problem, "kubectl describe apiservice "+name, "the access history does not answer: %v", err)
}
