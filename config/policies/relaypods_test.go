package policies_test

import (
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/internal/testenv"
)

// TestLabelWithoutInjection: where nothing puts the sidecar in, a pod that asks for it does not run without. The rest of
// the policy is tested beside config/inject.
func TestLabelWithoutInjection(t *testing.T) {
	env := testenv.Shared(t)
	namespace := env.Namespace(t)
	if err := env.Client.Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "relay"}}); err != nil {
		t.Fatal(err)
	}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "relay", Labels: map[string]string{"tegata.dev/relay-server": "asp1"}},
		Spec:       corev1.PodSpec{ServiceAccountName: "relay", Containers: []corev1.Container{{Name: "relay", Image: "relay"}}},
	}
	testenv.Eventually(t, activation, func() error {
		err := env.Client.Create(t.Context(), pod.DeepCopy(), client.DryRunAll)
		if err == nil {
			return errors.New("it is admitted")
		}
		want := denied("tegata-relay-pods", "the label tegata.dev/relay-server asks for a sidecar, and nothing has put one in: apply config/inject, which "+
			"needs Kubernetes 1.36, or put config/components/sidecar into the relay's kustomization (docs/install.md)")
		if !apierrors.IsForbidden(err) || !strings.HasSuffix(err.Error(), want) {
			return err
		}
		return nil
	})
}
