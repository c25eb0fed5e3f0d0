package prometheus_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"
)

// TestServiceMonitors: a selector that is mistyped selects nothing, and nobody is told.
func TestServiceMonitors(t *testing.T) {
	monitors := manifests(t, ".")
	for name, tc := range map[string]struct{ dir, service string }{
		"tegata-manager": {"../manager", "tegata-manager-metrics"},
		"tegata-history": {"../history", "tegata-history"},
	} {
		monitor, service := &monitoringv1.ServiceMonitor{}, &corev1.Service{}
		decode(t, monitors["ServiceMonitor "+name], monitor)
		decode(t, manifests(t, tc.dir)["Service "+tc.service], service)
		selector, err := metav1.LabelSelectorAsSelector(&monitor.Spec.Selector)
		if err != nil {
			t.Fatal(err)
		}
		if selector.Empty() || !selector.Matches(labels.Set(service.Labels)) || monitor.Namespace != service.Namespace {
			t.Errorf("%s selects %s in %s; the Service is in %s and has %v", name, selector, monitor.Namespace, service.Namespace, service.Labels)
		}
		endpoint := monitor.Spec.Endpoints[0]
		if !slices.ContainsFunc(service.Spec.Ports, func(p corev1.ServicePort) bool { return p.Name == endpoint.Port }) {
			t.Errorf("%s scrapes the port %s, which the Service does not have", name, endpoint.Port)
		}
		if got := *endpoint.RelabelConfigs[0].Replacement; endpoint.RelabelConfigs[0].TargetLabel != "job" || got != name {
			t.Errorf("%s calls its job %s: the alerts do not know it", name, got)
		}
	}
}

// TestPodMonitor finds the sidecar by what manifests call it, and by the port at which it is told to serve probes.
func TestPodMonitor(t *testing.T) {
	monitor := &monitoringv1.PodMonitor{}
	decode(t, manifests(t, ".")["PodMonitor tegata-sidecar"], monitor)
	if !monitor.Spec.NamespaceSelector.Any {
		t.Error("it looks in its own namespace only, where no relays are")
	}
	endpoint := monitor.Spec.PodMetricsEndpoints[0]
	keep := endpoint.RelabelConfigs[0]
	if keep.Action != "keep" || keep.SourceLabels[0] != "__meta_kubernetes_pod_container_name" {
		t.Fatalf("it does not keep sidecars only: %+v", keep)
	}
	for where, sidecar := range map[string]corev1.Container{
		// config/inject puts the same into pods, which a test there compares.
		"components/sidecar/workload.yaml": sidecarOf(t, "../components/sidecar/workload.yaml"),
		"samples/central.yaml":             sidecarOf(t, "../samples/central.yaml"),
	} {
		if sidecar.Name != keep.Regex {
			t.Errorf("it keeps containers called %s; that of %s is %q", keep.Regex, where, sidecar.Name)
		}
		if !slices.ContainsFunc(sidecar.Ports, func(p corev1.ContainerPort) bool { return p.ContainerPort == *endpoint.PortNumber }) {
			t.Errorf("it scrapes the port %d; that of %s has %v", *endpoint.PortNumber, where, sidecar.Ports)
		}
	}
	if got := *endpoint.RelabelConfigs[1].Replacement; got != "tegata-sidecar" {
		t.Errorf("it calls its job %s: the alerts do not know it", got)
	}
}

// sidecarOf is the first container of a file's Deployment, which is the first object in it.
func sidecarOf(t *testing.T, path string) corev1.Container {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(content), "\n---\n")
	deployment := &appsv1.Deployment{}
	if err := yaml.Unmarshal([]byte(first), deployment); err != nil {
		t.Fatal(err)
	}
	pod := deployment.Spec.Template.Spec
	return append(pod.InitContainers, pod.Containers...)[0]
}

// TestNoPersonIsALabel of a metric: their number is bounded by relays, not by users, and monitoring is for more eyes
// than the access history.
func TestNoPersonIsALabel(t *testing.T) {
	for name, labels := range exported(t) {
		for _, label := range labels {
			for _, word := range []string{"user", "address", "source", "device", "digest", "mac", "ip", "correlation"} {
				if strings.EqualFold(label, word) || strings.HasPrefix(label, word+"_") {
					t.Errorf("%s has the label %s", name, label)
				}
			}
		}
	}
}
