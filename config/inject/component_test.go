package inject_test

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/yaml"

	"github.com/tegata-dev/tegata/internal/testenv"
)

// rendered is what kustomize makes of workloads with the components of older clusters.
func rendered(t *testing.T, env *testenv.Env, workloads string, components ...string) []byte {
	t.Helper()
	dir := t.TempDir()
	root, err := filepath.Abs("../components")
	if err != nil {
		t.Fatal(err)
	}
	kustomization := "resources: [workloads.yaml]\ncomponents:\n"
	for _, component := range components {
		relative, err := filepath.Rel(dir, filepath.Join(root, component))
		if err != nil {
			t.Fatal(err)
		}
		kustomization += "- " + relative + "\n"
	}
	for name, content := range map[string]string{"kustomization.yaml": kustomization, "workloads.yaml": workloads} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	stdout, stderr, err := env.Kubectl(t, "", "kustomize", dir)
	if err != nil {
		t.Fatal(stderr)
	}
	return []byte(stdout)
}

const deployment = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: relay, labels: {tegata.dev/relay-server: asp1}}
spec:
  template:
    metadata:
      labels: {tegata.dev/relay-server: asp1}
      annotations: {}
    spec:
      serviceAccountName: relay
      initContainers: [{name: prepare, image: prepare}]
      containers: [{name: relay, image: relay}]
      volumes: [{name: mine, emptyDir: {}}]
`

// normal sorts what has no order of its own.
func normal(s corev1.PodSpec) corev1.PodSpec {
	slices.SortFunc(s.Volumes, func(a, b corev1.Volume) int { return cmp.Compare(a.Name, b.Name) })
	for i := range s.InitContainers {
		c := &s.InitContainers[i]
		slices.SortFunc(c.Env, func(a, b corev1.EnvVar) int { return cmp.Compare(a.Name, b.Name) })
		slices.SortFunc(c.VolumeMounts, func(a, b corev1.VolumeMount) int { return cmp.Compare(a.Name, b.Name) })
	}
	return s
}

// TestComponentMakesTheSamePod as the policy: to go from an older cluster to a newer one changes no relay.
func TestComponentMakesTheSamePod(t *testing.T) {
	env := shared(t)
	namespace := relayNamespace(t, env)
	for name, tc := range map[string]struct {
		annotations []string
		components  []string
	}{
		"plain":   {nil, []string{"sidecar"}},
		"TLS":     {[]string{"tls-secret", "tegata-sidecar-tls"}, []string{"sidecar", "sidecar-tls"}},
		"history": {[]string{"history-address", "https://history"}, []string{"sidecar", "sidecar-history"}},
		"all": {
			[]string{"tls-secret", "tegata-sidecar-tls", "history-address", "https://history", "forward-auth-address", ":8295"},
			[]string{"sidecar", "sidecar-history", "sidecar-tls"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			workload := &appsv1.Deployment{}
			if err := yaml.UnmarshalStrict(rendered(t, env, deployment, tc.components...), workload); err != nil {
				t.Fatal(err)
			}
			byComponent := relayPod(namespace, annotated(tc.annotations...))
			byComponent.Spec = workload.Spec.Template.Spec
			byPolicy := relayPod(namespace, annotated(tc.annotations...), func(p *corev1.Pod) {
				p.Spec.InitContainers = []corev1.Container{{Name: "prepare", Image: "prepare"}}
				p.Spec.Volumes = []corev1.Volume{{Name: "mine", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}
			})
			want, got := normal(admitted(t, env, byPolicy).Spec), normal(admitted(t, env, byComponent).Spec)
			if diff := gocmp.Diff(want, got, gocmp.Comparer(resource.Quantity.Equal)); diff != "" {
				t.Errorf("(-policy +component):\n%s", diff)
			}
		})
	}
}

// TestComponentReachesCronJobs, whose pods are a step further down, with the same.
func TestComponentReachesCronJobs(t *testing.T) {
	env := shared(t)
	const cronJob = `
apiVersion: batch/v1
kind: CronJob
metadata: {name: relay, labels: {tegata.dev/relay-server: asp1}}
spec: {jobTemplate: {spec: {template: {spec: {containers: [{name: relay, image: relay}]}}}}}
`
	components := []string{"sidecar", "sidecar-history", "sidecar-tls"}
	job, workload := &batchv1.CronJob{}, &appsv1.Deployment{}
	if err := yaml.UnmarshalStrict(rendered(t, env, cronJob, components...), job); err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict(rendered(t, env, deployment, components...), workload); err != nil {
		t.Fatal(err)
	}
	want := workload.Spec.Template.Spec.InitContainers[0]
	if diff := gocmp.Diff(want, job.Spec.JobTemplate.Spec.Template.Spec.InitContainers[0], gocmp.Comparer(resource.Quantity.Equal)); diff != "" {
		t.Errorf("(-Deployment +CronJob):\n%s", diff)
	}
}

// TestComponentThatIsMissing is told: an annotation without its volumes would be obeyed in part.
func TestComponentThatIsMissing(t *testing.T) {
	env := shared(t)
	namespace := relayNamespace(t, env)
	workload := &appsv1.Deployment{}
	if err := yaml.UnmarshalStrict(rendered(t, env, deployment, "sidecar"), workload); err != nil {
		t.Fatal(err)
	}
	for _, annotation := range [][]string{{"tls-secret", "tegata-sidecar-tls"}, {"history-address", "https://history"}} {
		pod := relayPod(namespace, annotated(annotation...))
		pod.Spec = *workload.Spec.Template.Spec.DeepCopy()
		checkRefused(t, env.Client.Create(t.Context(), pod), "the annotations tegata.dev/tls-secret and tegata.dev/history-address "+
			"need volumes, which nothing has put in: where config/components/sidecar is used, add sidecar-tls or sidecar-history of the same place")
	}
}
