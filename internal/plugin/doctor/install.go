package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/api/v1alpha1"
)

// What an administrator of the cluster has installed. Others mostly may not see it.

// ours selects what bears Tegata's name, whatever installed it.
var ours = client.MatchingLabels{"app.kubernetes.io/part-of": "tegata"}

const admission = "admissionregistration.k8s.io"

// list reads what Tegata has of a kind that the plugin has no type of. ok is false when it cannot be read, which is
// told, or when the cluster does not know the kind, which is not.
func (o *options) list(ctx context.Context, check string, kind schema.GroupVersionKind) ([]unstructured.Unstructured, bool) {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(kind)
	err := o.client.List(ctx, list, ours)
	switch {
	case err == nil:
		return list.Items, true
	case meta.IsNoMatchError(err) || apierrors.IsNotFound(err):
	case apierrors.IsForbidden(err):
		o.found(check, Unknown, "", "you may not see %s; the cluster's administrator may", kind.Kind)
	default:
		o.found(check, Unknown, "", "list %s: %v", kind.Kind, err)
	}
	return nil, false
}

// checkCRDs compares the kinds that are installed with those that this program knows: Helm and many a pipeline leave
// CRDs as they were when they upgrade the rest.
func (o *options) checkCRDs(ctx context.Context) {
	kind := schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"}
	const fix = "as the cluster's administrator: kubectl apply --server-side -k config/crd"
	good := 0
	for plural, known := range map[string]any{
		"deviceresets": v1alpha1.DeviceReset{}, "relayservers": v1alpha1.RelayServer{}, "relayusers": v1alpha1.RelayUser{},
	} {
		name := plural + "." + v1alpha1.GroupVersion.Group
		crd, ok := o.get(ctx, "CRDs", kind, client.ObjectKey{Name: name}, Finding{"CRDs", Problem, name + " is missing", fix})
		if !ok {
			return
		}
		if stored, _, _ := unstructured.NestedStringSlice(crd.Object, "status", "storedVersions"); len(stored) > 1 {
			o.found("CRDs", Warning, "docs/install.md#upgrade", "%s has objects stored as %s", name, strings.Join(stored, " and "))
		}
		missing := missingFields(schemaOf(crd), known)
		if len(missing) > 0 {
			o.found("CRDs", Problem, fix, "%s is older than this program: it does not know %s", name, strings.Join(missing, ", "))
			continue
		}
		good++
	}
	if good == len(tegataKinds) {
		o.found("CRDs", OK, "", "they have all fields that this program knows")
	}
}

// inForce lists the policies of a kind, and tells of each without a binding: it does nothing.
func (o *options) inForce(ctx context.Context, check, kind string) (policies []unstructured.Unstructured, ok bool) {
	policies, ok = o.list(ctx, check, schema.GroupVersionKind{Group: admission, Version: "v1", Kind: kind})
	if !ok {
		return nil, false
	}
	bindings, ok := o.list(ctx, check, schema.GroupVersionKind{Group: admission, Version: "v1", Kind: kind + "Binding"})
	if !ok {
		return nil, false
	}
	for i := range policies {
		name := policies[i].GetName()
		if !slices.ContainsFunc(bindings, func(b unstructured.Unstructured) bool {
			of, _, _ := unstructured.NestedString(b.Object, "spec", "policyName")
			return of == name
		}) {
			o.found(check, Problem, "as the cluster's administrator: apply the whole of the install file again", "the %s %s has no binding, and does nothing", kind, name)
		}
		o.checkTypes(check, &policies[i])
	}
	return policies, true
}

// checkTypes passes on what the API server says of a policy's expressions.
func (o *options) checkTypes(check string, policy *unstructured.Unstructured) {
	warnings, _, _ := unstructured.NestedSlice(policy.Object, "status", "typeChecking", "expressionWarnings")
	for _, each := range warnings {
		if warning, ok := each.(map[string]any); ok {
			o.found(check, Warning, "docs/install.md#upgrade", "%s: %v", policy.GetName(), warning["warning"])
		}
	}
}

// checkInjection looks at the policy that puts the sidecar into pods, and at the template that it takes.
func (o *options) checkInjection(ctx context.Context) {
	policies, ok := o.inForce(ctx, "injection", "MutatingAdmissionPolicy")
	if !ok {
		return
	}
	const name = "tegata-sidecar"
	if !slices.ContainsFunc(policies, func(p unstructured.Unstructured) bool { return p.GetName() == name }) {
		o.found("injection", OK, "", "pods are not given the sidecar: it is in their manifests")
		return
	}
	kind := schema.GroupVersionKind{Version: "v1", Kind: "PodTemplate"}
	missing := Finding{"injection", Problem, "the PodTemplate " + name + " is missing: pods of relays are refused",
		"as the cluster's administrator: kubectl apply --server-side -k config/inject"}
	if _, ok := o.get(ctx, "injection", kind, client.ObjectKey{Namespace: systemNamespace, Name: name}, missing); ok {
		o.found("injection", OK, "", "pods with the label %s are given the sidecar", v1alpha1.LabelRelayServer)
	}
}

// checkManagerPods looks at whether all managers run that should.
func (o *options) checkManagerPods(ctx context.Context) {
	kind := schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"}
	missing := Finding{"manager", Unknown, "there is no Deployment tegata-manager in " + systemNamespace + ": it runs elsewhere", ""}
	deployment, ok := o.get(ctx, "manager", kind, client.ObjectKey{Namespace: systemNamespace, Name: "tegata-manager"}, missing)
	if !ok {
		return
	}
	want, found, _ := unstructured.NestedInt64(deployment.Object, "spec", "replicas")
	if !found {
		want = 1
	}
	ready, _, _ := unstructured.NestedInt64(deployment.Object, "status", "readyReplicas")
	said := fmt.Sprintf("%d of %d managers are ready", ready, want)
	switch {
	case ready == 0:
		o.found("manager", Problem, "kubectl get pods -n "+systemNamespace, "%s", said)
	case ready < want:
		o.found("manager", Warning, "kubectl get pods -n "+systemNamespace, "%s", said)
	default:
		o.found("manager", OK, "", "%s", said)
	}
}

// checkAlerts says nothing where there is no Prometheus operator.
func (o *options) checkAlerts(ctx context.Context) {
	kind := schema.GroupVersionKind{Group: "monitoring.coreos.com", Version: "v1", Kind: "PrometheusRule"}
	rules, ok := o.list(ctx, "alerts", kind)
	switch {
	case !ok:
	case len(rules) == 0:
		o.found("alerts", Warning, "kubectl apply --server-side -k config/prometheus", "there is a Prometheus operator, and nobody is told when something breaks")
	default:
		o.found("alerts", OK, "", "rules for Prometheus are installed")
	}
}
