package doctor

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/yaml"
)

// cluster has what is broken in it: on the shared control plane that would break other tests.
func cluster(t *testing.T, manifests ...string) *options {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	var objects []client.Object
	for _, manifest := range manifests {
		object := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(manifest), &object.Object); err != nil {
			t.Fatal(err)
		}
		object.SetLabels(map[string]string{"app.kubernetes.io/part-of": "tegata"})
		objects = append(objects, object)
	}
	return &options{client: fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build()}
}

const (
	injector = `{apiVersion: admissionregistration.k8s.io/v1, kind: MutatingAdmissionPolicy, metadata: {name: tegata-sidecar}}`
	binding  = `{apiVersion: admissionregistration.k8s.io/v1, kind: MutatingAdmissionPolicyBinding, metadata: {name: x}, spec: {policyName: tegata-sidecar}}`
	template = `{apiVersion: v1, kind: PodTemplate, metadata: {name: tegata-sidecar, namespace: tegata-system}}`
	manager  = `{apiVersion: apps/v1, kind: Deployment, metadata: {name: tegata-manager, namespace: tegata-system}, spec: {replicas: 2}, status: {readyReplicas: READY}}`
)

func TestInstall(t *testing.T) {
	for name, tc := range map[string]struct {
		manifests []string
		check     func(*options)
		want      []Level
	}{
		"injection is whole":            {[]string{injector, binding, template}, func(o *options) { o.checkInjection(t.Context()) }, []Level{OK}},
		"injection is not installed":    {nil, func(o *options) { o.checkInjection(t.Context()) }, []Level{OK}},
		"injection has no binding":      {[]string{injector, template}, func(o *options) { o.checkInjection(t.Context()) }, []Level{Problem, OK}},
		"injection has no template":     {[]string{injector, binding}, func(o *options) { o.checkInjection(t.Context()) }, []Level{Problem}},
		"all managers are ready":        {[]string{ready("2")}, func(o *options) { o.checkManagerPods(t.Context()) }, []Level{OK}},
		"a manager is not ready":        {[]string{ready("1")}, func(o *options) { o.checkManagerPods(t.Context()) }, []Level{Warning}},
		"no manager is ready":           {[]string{ready("0")}, func(o *options) { o.checkManagerPods(t.Context()) }, []Level{Problem}},
		"the manager is somewhere else": {nil, func(o *options) { o.checkManagerPods(t.Context()) }, []Level{Unknown}},
		"the CRDs are missing":          {nil, func(o *options) { o.checkCRDs(t.Context()) }, []Level{Problem}},
	} {
		t.Run(name, func(t *testing.T) {
			o := cluster(t, tc.manifests...)
			tc.check(o)
			var got []Level
			for _, f := range o.findings {
				got = append(got, f.Level)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("levels (-want +got):\n%s\n%+v", diff, o.findings)
			}
		})
	}
}

func ready(n string) string { return manager[:len(manager)-len("READY}}")] + n + "}}" }
