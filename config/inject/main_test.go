// Package inject_test puts the sidecar into pods by the policies on a real API server. No kubelet runs them.
package inject_test

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/internal/testenv"
)

// activation is how long a policy may take to be in force.
const activation = time.Minute

func TestMain(m *testing.M) { os.Exit(testenv.Run(m)) }

var inForce sync.Once

// shared is the control plane of these tests, with injection in force.
func shared(t *testing.T) *testenv.Env {
	t.Helper()
	env := testenv.Shared(t)
	inForce.Do(func() {
		if err := testenv.Apply(t.Context(), env.Client, "", "."); err != nil {
			t.Fatal(err)
		}
		awaitInjection(t, env.Client, relayNamespace(t, env))
	})
	return env
}

// awaitInjection asks, without effect, for what the policies do until they do it.
func awaitInjection(t *testing.T, c client.Client, namespace string) {
	t.Helper()
	testenv.Eventually(t, activation, func() error {
		pod := relayPod(namespace, asDefault)
		err := c.Create(t.Context(), pod, client.DryRunAll)
		if err == nil || !strings.Contains(err.Error(), notDefault) { // it is injected, or something else would be told first
			return fmt.Errorf("the policies are not in force: %w", err)
		}
		return nil
	})
}

func asDefault(p *corev1.Pod) { p.Spec.ServiceAccountName = "default" }

const label = "tegata.dev/relay-server"

// relayNamespace makes a namespace with the account of a relay, and the one that every namespace has.
func relayNamespace(t *testing.T, env *testenv.Env) string {
	t.Helper()
	namespace := env.Namespace(t)
	for _, name := range []string{"default", "relay"} {
		if err := env.Client.Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}); err != nil {
			t.Fatal(err)
		}
	}
	return namespace
}

// relayPod is a pod that asks for the sidecar of asp1 by the label alone, changed by the options.
func relayPod(namespace string, options ...func(*corev1.Pod)) *corev1.Pod {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, GenerateName: "relay-", Labels: map[string]string{label: "asp1"}, Annotations: map[string]string{},
		},
		Spec: corev1.PodSpec{ServiceAccountName: "relay", Containers: []corev1.Container{{Name: "relay", Image: "relay"}}},
	}
	for _, option := range options {
		option(pod)
	}
	return pod
}

// annotated asks for something else by annotations of tegata.dev.
func annotated(pairs ...string) func(*corev1.Pod) {
	return func(pod *corev1.Pod) {
		for i := 0; i < len(pairs); i += 2 {
			pod.Annotations["tegata.dev/"+pairs[i]] = pairs[i+1]
		}
	}
}

// admitted is a pod as the API server would store it.
func admitted(t *testing.T, env *testenv.Env, pod *corev1.Pod) *corev1.Pod {
	t.Helper()
	if err := env.Client.Create(t.Context(), pod, client.DryRunAll); err != nil {
		t.Fatal(err)
	}
	return pod
}

// sidecarOf is the sidecar in a pod.
func sidecarOf(t *testing.T, pod *corev1.Pod) *corev1.Container {
	t.Helper()
	if len(pod.Spec.InitContainers) == 0 || pod.Spec.InitContainers[0].Name != "tegata-sidecar" {
		t.Fatalf("the first init container is not the sidecar: %v", pod.Spec.InitContainers)
	}
	return &pod.Spec.InitContainers[0]
}

// checkRefused compares what the API server says.
func checkRefused(t *testing.T, err error, want string) {
	t.Helper()
	want = "ValidatingAdmissionPolicy 'tegata-relay-pods' with binding 'tegata-relay-pods' denied request: " + want
	if err == nil || !apierrors.IsForbidden(err) || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("%v\nwant: %s", err, want)
	}
}
