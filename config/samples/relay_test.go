// Package samples_test holds the samples to what the API server and the programs take.
package samples_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/tegata-dev/tegata/internal/testenv"
)

// activation is how long a policy may take to be in force.
const activation = time.Minute

func TestMain(m *testing.M) { os.Exit(testenv.Run(m)) }

var inject sync.Once

// restricted is a namespace where Pod Security is restricted, in a cluster that puts sidecars into pods.
func restricted(t *testing.T) (*testenv.Env, string) {
	t.Helper()
	env := testenv.Shared(t)
	inject.Do(func() {
		if err := testenv.Apply(t.Context(), env.Client, "", "../inject"); err != nil {
			t.Fatal(err)
		}
	})
	namespace := env.Namespace(t)
	if _, stderr, err := env.Kubectl(t, "", "label", "namespace", namespace,
		"pod-security.kubernetes.io/enforce=restricted", "pod-security.kubernetes.io/warn=restricted"); err != nil {
		t.Fatal(stderr)
	}
	return env, namespace
}

// applied applies a sample as its reader would, without a warning, and reads its Deployment.
func applied(t *testing.T, env *testenv.Env, namespace, file, deployment string) *appsv1.Deployment {
	t.Helper()
	_, stderr, err := env.Kubectl(t, "", "apply", "--server-side", "--validate=strict", "-n", namespace, "-f", file)
	if err != nil || strings.Contains(stderr, "Warning") {
		t.Fatalf("%v\n%s", err, stderr)
	}
	stored := &appsv1.Deployment{}
	if err := env.Client.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: deployment}, stored); err != nil {
		t.Fatal(err)
	}
	return stored
}

// podOf is the pod of a Deployment, as its controller would make it.
func podOf(deployment *appsv1.Deployment) *corev1.Pod {
	template := deployment.Spec.Template.DeepCopy()
	pod := &corev1.Pod{ObjectMeta: template.ObjectMeta, Spec: template.Spec}
	pod.Namespace, pod.Name = deployment.Namespace, deployment.Name+"-0"
	return pod
}

// TestRelayGetsItsSidecar where Pod Security is restricted, and the token is mounted in the sidecar alone.
func TestRelayGetsItsSidecar(t *testing.T) {
	env, namespace := restricted(t)
	relay := applied(t, env, namespace, "relay.yaml", "asp1")
	testenv.Eventually(t, activation, func() error {
		pod := podOf(relay)
		if err := env.Client.Create(t.Context(), pod, client.DryRunAll); err != nil {
			return err
		}
		if mounts := pod.Spec.Containers[0].VolumeMounts; len(mounts) > 0 {
			return fmt.Errorf("the relay mounts %v", mounts)
		}
		if inits := pod.Spec.InitContainers; len(inits) != 1 || inits[0].VolumeMounts[0].Name != "tegata-token" {
			return errors.New("it has no sidecar with a token")
		}
		return nil
	})
}

// TestCentralIsAdmitted where Pod Security is restricted, as it stands.
func TestCentralIsAdmitted(t *testing.T) {
	env, namespace := restricted(t)
	central := applied(t, env, namespace, "central.yaml", "asp1-auth")
	if err := env.Client.Create(t.Context(), &corev1.ServiceAccount{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: central.Spec.Template.Spec.ServiceAccountName},
	}); err != nil {
		t.Fatal(err)
	}
	pod := podOf(central)
	if err := env.Client.Create(t.Context(), pod, client.DryRunAll); err != nil {
		t.Fatal(err)
	}
	if len(pod.Spec.InitContainers) > 0 {
		t.Error("it has got a second sidecar")
	}
}

// documents are the objects in a sample, by kind.
func documents(t *testing.T, file string) map[string][]byte {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string][]byte{}
	for document := range bytes.SplitSeq(content, []byte("\n---\n")) {
		var meta metav1.TypeMeta
		if err := yaml.Unmarshal(document, &meta); err != nil {
			t.Fatal(err)
		}
		found[meta.Kind] = document
	}
	return found
}

func read[T any](t *testing.T, document []byte, into T) T {
	t.Helper()
	if err := yaml.UnmarshalStrict(document, into); err != nil {
		t.Fatal(err)
	}
	return into
}

// TestCentralSelectsItself: a selector that is mistyped selects nothing, and nobody is told.
func TestCentralSelectsItself(t *testing.T) {
	found := documents(t, "central.yaml")
	pod := podOf(read(t, found["Deployment"], &appsv1.Deployment{}))
	service := read(t, found["Service"], &corev1.Service{})
	budget := read(t, found["PodDisruptionBudget"], &policyv1.PodDisruptionBudget{})
	policy := read(t, found["NetworkPolicy"], &networkingv1.NetworkPolicy{})
	for what, selector := range map[string]map[string]string{
		"Service": service.Spec.Selector, "PodDisruptionBudget": budget.Spec.Selector.MatchLabels, "NetworkPolicy": policy.Spec.PodSelector.MatchLabels,
	} {
		if len(selector) == 0 || !labels.SelectorFromSet(selector).Matches(labels.Set(pod.Labels)) {
			t.Errorf("%s selects %v, which the pod's %v are not", what, selector, pod.Labels)
		}
	}
	ports := []string{service.Spec.Ports[0].TargetPort.StrVal}
	for _, rule := range policy.Spec.Ingress {
		ports = append(ports, rule.Ports[0].Port.StrVal)
	}
	for _, port := range ports {
		if !slices.ContainsFunc(pod.Spec.Containers[0].Ports, func(p corev1.ContainerPort) bool { return p.Name == port }) {
			t.Errorf("there is no port %q", port)
		}
	}
}

// TestRelaysAreOfTheSample: the sidecars are the relay's that relayserver.yaml makes.
func TestRelaysAreOfTheSample(t *testing.T) {
	server := read(t, documents(t, "relayserver.yaml")["RelayServer"], &struct {
		metav1.PartialObjectMetadata
		Spec any `json:"spec"`
	}{})
	relay := podOf(read(t, documents(t, "relay.yaml")["Deployment"], &appsv1.Deployment{}))
	if got := relay.Labels["tegata.dev/relay-server"]; got != server.Name {
		t.Errorf("the relay asks for the sidecar of %q, want %s", got, server.Name)
	}
	central := podOf(read(t, documents(t, "central.yaml")["Deployment"], &appsv1.Deployment{}))
	if want := server.Name + "-sidecar"; central.Spec.ServiceAccountName != want {
		t.Errorf("the central one runs as %s, want %s", central.Spec.ServiceAccountName, want)
	}
	if want := "--server=" + server.Name; central.Spec.Containers[0].Args[0] != want {
		t.Errorf("the central one is given %q, want %s", central.Spec.Containers[0].Args, want)
	}
}
