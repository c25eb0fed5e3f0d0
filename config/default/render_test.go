package default_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
)

// TestBefore136 holds nothing that Kubernetes 1.35 does not know.
func TestBefore136(t *testing.T) {
	c := &cluster{binDir: programs(t)}
	for _, object := range c.render(t, "../before-1.36") {
		if strings.HasPrefix(object.GetKind(), "MutatingAdmission") {
			t.Errorf("there is a %s %s", object.GetKind(), object.GetName())
		}
	}
}

// TestEveryObjectSaysWhoseItIs, so that all of them can be listed and taken away.
func TestEveryObjectSaysWhoseItIs(t *testing.T) {
	c := &cluster{binDir: programs(t)}
	for _, object := range c.render(t, ".") {
		if got := object.GetLabels()["app.kubernetes.io/part-of"]; got != "tegata" {
			t.Errorf("%s %s is part of %q", object.GetKind(), object.GetName(), got)
		}
		if !strings.Contains(object.GetName(), "tegata") {
			t.Errorf("%s %s could be anybody's", object.GetKind(), object.GetName())
		}
		if namespace := object.GetNamespace(); namespace != "" && namespace != "tegata-system" {
			t.Errorf("%s %s is in %s", object.GetKind(), object.GetName(), namespace)
		}
	}
}

// TestImagesReachTheSidecar that is put into pods: a kustomization of one's own names it like any other image.
func TestImagesReachTheSidecar(t *testing.T) {
	c := &cluster{binDir: programs(t)}
	here, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	relative, err := filepath.Rel(dir, here)
	if err != nil {
		t.Fatal(err)
	}
	kustomization := "resources: [" + relative + "]\nimages:\n- {name: ghcr.io/tegata-dev/tegata-sidecar, newName: registry.example.com/sidecar, newTag: v9}\n"
	if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(kustomization), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, object := range c.render(t, dir) {
		if object.GetKind() != "PodTemplate" {
			continue
		}
		if got := podOf(t, object).Spec.Containers[0].Image; got != "registry.example.com/sidecar:v9" {
			t.Errorf("the image is %s", got)
		}
		return
	}
	t.Error("there is no PodTemplate")
}

// TestSelectorsMeetTheManager: a selector that is mistyped selects nothing, and nobody is told.
func TestSelectorsMeetTheManager(t *testing.T) {
	c := &cluster{binDir: programs(t)}
	objects := c.render(t, ".")
	var manager *corev1.Pod
	for _, object := range objects {
		if object.GetKind() == "Deployment" && object.GetName() == "tegata-manager" {
			manager = podOf(t, object)
		}
	}
	for kind, name := range map[string]string{
		"Service": "tegata-manager-metrics", "PodDisruptionBudget": "tegata-manager", "NetworkPolicy": "tegata-manager",
	} {
		selector, ports := selectorOf(t, objects, kind, name)
		if selector.Empty() || !selector.Matches(labels.Set(manager.Labels)) {
			t.Errorf("%s %s selects %q, which the manager's %q are not", kind, name, selector, manager.Labels)
		}
		for _, port := range ports {
			if !slices.ContainsFunc(manager.Spec.Containers[0].Ports, func(p corev1.ContainerPort) bool { return p.Name == port }) {
				t.Errorf("%s %s names the port %q, which the manager does not have", kind, name, port)
			}
		}
	}
}

// selectorOf is which pods an object selects, and which of their ports it names.
func selectorOf(t *testing.T, objects []*unstructured.Unstructured, kind, name string) (labels.Selector, []string) {
	t.Helper()
	i := slices.IndexFunc(objects, func(o *unstructured.Unstructured) bool { return o.GetKind() == kind && o.GetName() == name })
	if i < 0 {
		t.Fatalf("there is no %s %s", kind, name)
	}
	decode := func(into any) {
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(objects[i].Object, into); err != nil {
			t.Fatal(err)
		}
	}
	switch kind {
	case "Service":
		service := &corev1.Service{}
		decode(service)
		return labels.SelectorFromSet(service.Spec.Selector), []string{service.Spec.Ports[0].TargetPort.StrVal}
	case "PodDisruptionBudget":
		budget := &policyv1.PodDisruptionBudget{}
		decode(budget)
		return asSelector(t, budget.Spec.Selector), nil
	default:
		policy := &networkingv1.NetworkPolicy{}
		decode(policy)
		return asSelector(t, &policy.Spec.PodSelector), []string{policy.Spec.Ingress[0].Ports[0].Port.StrVal}
	}
}

func asSelector(t *testing.T, selector *metav1.LabelSelector) labels.Selector {
	t.Helper()
	s, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
