package inject_test

import (
	"errors"
	"os"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/tegata-dev/tegata/internal/testenv"
)

func TestMain(m *testing.M) { os.Exit(testenv.Run(m)) }

func TestTry(t *testing.T) {
	env := testenv.New(t)
	if err := testenv.Apply(t.Context(), env.Client, "", "."); err != nil {
		t.Fatal(err)
	}
	ns := env.Namespace(t)
	if err := env.Client.Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "relay"}}); err != nil {
		t.Fatal(err)
	}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "r", Labels: map[string]string{"tegata.dev/relay-server": "asp1"}, Annotations: map[string]string{
			"tegata.dev/tls-secret": "foo", "tegata.dev/history-address": "https://x", "tegata.dev/forward-auth-address": ":8295"}},
		Spec: corev1.PodSpec{ServiceAccountName: "relay", Containers: []corev1.Container{{Name: "relay", Image: "x"}}},
	}
	testenv.Eventually(t, 60e9, func() error {
		p := pod.DeepCopy()
		err := env.Client.Create(t.Context(), p, client.DryRunAll)
		if err != nil {
			return err
		}
		if len(p.Spec.InitContainers) == 0 {
			return errors.New("not injected")
		}
		b, _ := yaml.Marshal(p)
		t.Log(string(b))
		return nil
	})
}
