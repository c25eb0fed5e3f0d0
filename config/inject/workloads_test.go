package inject_test

import (
	"fmt"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/internal/testenv"
)

// TestWorkloads has the controllers of Kubernetes make the pods. They are told what is wrong, too.
func TestWorkloads(t *testing.T) {
	c := controlled(t)
	const namespace = "relays"
	for _, object := range []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}},
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "relay"}},
	} {
		if err := c.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	meta := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: namespace, Name: name} }
	template := func(workload, server string) (corev1.PodTemplateSpec, *metav1.LabelSelector) {
		labels := map[string]string{"app": workload}
		return corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": workload, label: server}},
			Spec: corev1.PodSpec{
				ServiceAccountName: "relay", Containers: []corev1.Container{{Name: "relay", Image: "relay"}},
			},
		}, &metav1.LabelSelector{MatchLabels: labels}
	}
	deployment := &appsv1.Deployment{ObjectMeta: meta("deployment")}
	deployment.Spec.Template, deployment.Spec.Selector = template("deployment", "asp1")
	set := &appsv1.StatefulSet{ObjectMeta: meta("set"), Spec: appsv1.StatefulSetSpec{ServiceName: "set"}}
	set.Spec.Template, set.Spec.Selector = template("set", "asp1")
	job := &batchv1.Job{ObjectMeta: meta("job")}
	job.Spec.Template, _ = template("job", "asp1")
	job.Spec.Template.Spec.RestartPolicy = corev1.RestartPolicyNever
	bad := &appsv1.Deployment{ObjectMeta: meta("bad")}
	bad.Spec.Template, bad.Spec.Selector = template("bad", "Asp1")
	for _, workload := range []client.Object{deployment, set, job, bad} {
		if err := c.Create(t.Context(), workload); err != nil {
			t.Fatal(err)
		}
	}
	for _, workload := range []string{"deployment", "set", "job"} {
		testenv.Eventually(t, activation, func() error { return hasSidecar(t, c, namespace, workload) })
	}
	testenv.Eventually(t, activation, func() error {
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(bad), bad); err != nil {
			return err
		}
		for _, condition := range bad.Status.Conditions {
			if condition.Type == appsv1.DeploymentReplicaFailure && strings.Contains(condition.Message, badName) {
				return nil
			}
		}
		return fmt.Errorf("the Deployment does not tell: %v", bad.Status.Conditions)
	})
}

// controlled is a control plane with the controllers of Kubernetes and with injection. Pods of workloads that come before
// the policies are in force are refused or have no sidecar, so it is awaited.
func controlled(t *testing.T) client.Client {
	t.Helper()
	c := testenv.NewWithControllers(t).Client
	for _, path := range []string{"../policies", "."} {
		if err := testenv.Apply(t.Context(), c, "", path); err != nil {
			t.Fatal(err)
		}
	}
	awaitInjection(t, c, "default")
	return c
}

func hasSidecar(t *testing.T, c client.Client, namespace, workload string) error {
	t.Helper()
	var pods corev1.PodList
	if err := c.List(t.Context(), &pods, client.InNamespace(namespace), client.MatchingLabels{"app": workload}); err != nil {
		return err
	}
	if len(pods.Items) == 0 {
		return fmt.Errorf("%s has no pod", workload)
	}
	sidecarOf(t, &pods.Items[0])
	return nil
}
