// Package samples_test holds the samples to what the API server and the programs take.
package samples_test

import (
	"os"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/tegata-dev/tegata/internal/testenv"
)

func TestMain(m *testing.M) { os.Exit(testenv.Run(m)) }

// TestRelayIsAdmitted where Pod Security is restricted, and the token is mounted in the sidecar alone.
func TestRelayIsAdmitted(t *testing.T) {
	env := testenv.Shared(t)
	namespace := env.Namespace(t)
	if _, stderr, err := env.Kubectl(t, "", "label", "namespace", namespace,
		"pod-security.kubernetes.io/enforce=restricted", "pod-security.kubernetes.io/warn=restricted"); err != nil {
		t.Fatal(stderr)
	}
	_, stderr, err := env.Kubectl(t, "", "apply", "--server-side", "--validate=strict", "-n", namespace, "-f", "relay.yaml")
	if err != nil || strings.Contains(stderr, "Warning") {
		t.Fatalf("%v\n%s", err, stderr)
	}
	relay := &appsv1.Deployment{}
	if err := env.Client.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "asp1"}, relay); err != nil {
		t.Fatal(err)
	}
	if err := env.Client.Create(t.Context(), &corev1.ServiceAccount{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: relay.Spec.Template.Spec.ServiceAccountName},
	}); err != nil {
		t.Fatal(err)
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "asp1-0"}, Spec: relay.Spec.Template.Spec}
	if err := env.Client.Create(t.Context(), pod, client.DryRunAll); err != nil {
		t.Fatal(err)
	}
	if mounts := pod.Spec.Containers[0].VolumeMounts; len(mounts) > 0 {
		t.Errorf("the relay mounts %v", mounts)
	}
	if mounts := pod.Spec.InitContainers[0].VolumeMounts; len(mounts) != 1 || mounts[0].Name != "tegata-token" {
		t.Errorf("the sidecar mounts %v", mounts)
	}
}

// TestRelayIsOfTheSample: the sidecar is the relay's that relayserver.yaml makes.
func TestRelayIsOfTheSample(t *testing.T) {
	relay, server := &appsv1.Deployment{}, &metav1.PartialObjectMetadata{}
	for name, into := range map[string]any{"relay.yaml": relay, "relayserver.yaml": server} {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := yaml.Unmarshal(content, into); err != nil {
			t.Fatal(err)
		}
	}
	spec := relay.Spec.Template.Spec
	if want := server.Name + "-sidecar"; spec.ServiceAccountName != want {
		t.Errorf("it runs as %s, want %s", spec.ServiceAccountName, want)
	}
	if want := "--server=" + server.Name; spec.InitContainers[0].Args[0] != want {
		t.Errorf("the sidecar is given %q, want %s", spec.InitContainers[0].Args, want)
	}
}
