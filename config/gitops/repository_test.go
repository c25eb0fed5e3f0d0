package gitops_test

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/tegata-dev/tegata/controllers"
	"github.com/tegata-dev/tegata/internal/testenv"
)

const repository = "../samples/gitops/overlays/"

// tracking is what tools write on what they have applied, to find it again. On what somebody else has made it would
// have them prune that.
var (
	trackingLabels = map[string]string{
		"app.kubernetes.io/instance":            "relays",
		"app.kubernetes.io/managed-by":          "Helm",
		"kustomize.toolkit.fluxcd.io/name":      "relays",
		"kustomize.toolkit.fluxcd.io/namespace": "flux-system",
		"helm.toolkit.fluxcd.io/name":           "relays",
		"argocd.argoproj.io/instance":           "relays",
		"applyset.kubernetes.io/part-of":        "applyset-relays-v1",
	}
	trackingAnnotations = map[string]string{
		"argocd.argoproj.io/tracking-id":  "relays:tegata.dev/RelayServer:relays/asp1",
		"argocd.argoproj.io/sync-wave":    "1",
		"meta.helm.sh/release-name":       "relays",
		"meta.helm.sh/release-namespace":  "relays",
		"kustomize.toolkit.fluxcd.io/ssa": "Merge",
	}
)

// render is what an overlay of the repository comes to in the world's namespace, with the tools' marks.
func (w *world) render(overlay string) (objects []*unstructured.Unstructured, file string) {
	w.Helper()
	text, problem, err := w.env.Kubectl(w.T, "", "kustomize", repository+overlay)
	if err != nil {
		w.Fatalf("kubectl kustomize: %v\n%s", err, problem)
	}
	var all bytes.Buffer
	for document := range strings.SplitSeq(text, "\n---\n") {
		object := &unstructured.Unstructured{}
		w.must(yaml.Unmarshal([]byte(document), &object.Object))
		object.SetNamespace(w.namespace)
		object.SetLabels(merged(object.GetLabels(), trackingLabels))
		object.SetAnnotations(merged(object.GetAnnotations(), trackingAnnotations))
		encoded, err := yaml.Marshal(object.Object)
		w.must(err)
		fmt.Fprintf(&all, "%s---\n", encoded)
		objects = append(objects, object)
	}
	file = filepath.Join(w.TempDir(), "rendered.yaml")
	w.must(os.WriteFile(file, all.Bytes(), 0o600))
	return objects, file
}

func merged(all ...map[string]string) map[string]string {
	into := map[string]string{}
	for _, each := range all {
		maps.Copy(into, each)
	}
	return into
}

func (w *world) kubectl(args ...string) string {
	w.Helper()
	out, problem, err := w.env.Kubectl(w.T, "", args...)
	if err != nil {
		w.Fatalf("kubectl %s: %v\n%s%s", strings.Join(args, " "), err, out, problem)
	}
	return out
}

// settled are the objects when all tools say that they are done, and nothing writes them any more.
func (w *world) settled(objects []*unstructured.Unstructured) map[string]string {
	w.Helper()
	for _, object := range objects {
		w.reads("applied from the repository", object.GetKind(), object.GetName(), "", good)
	}
	var before map[string]string
	testenv.Eventually(w, soon, func() error {
		now := w.versions(objects)
		same := fmt.Sprint(now) == fmt.Sprint(before)
		before = now
		if !same {
			return fmt.Errorf("objects are still written: %v", now)
		}
		return nil
	})
	return before
}

func (w *world) versions(objects []*unstructured.Unstructured) map[string]string {
	w.Helper()
	versions := map[string]string{}
	for _, object := range objects {
		live, err := w.get(object.GetKind(), object.GetName())
		w.must(err)
		versions[object.GetKind()+" "+object.GetName()] = live.GetResourceVersion()
	}
	return versions
}

// TestRepository is what happens with the sample repository in a cluster, by the ways in which tools apply it.
func TestRepository(t *testing.T) {
	for name, tc := range map[string]struct {
		overlay string
		flags   []string
		kinds   []string
	}{
		"production on the server's side": {
			"production", []string{"--server-side", "--field-manager=gitops"}, []string{server, user, user, reset},
		},
		"staging on the client's side": {"staging", []string{"--field-manager=gitops"}, []string{server, user, user}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.startManager()
			objects, file := w.render(tc.overlay)
			var kinds []string
			for _, object := range objects {
				kinds = append(kinds, object.GetKind())
			}
			slices.Sort(kinds)
			if want := slices.Sorted(slices.Values(tc.kinds)); !slices.Equal(kinds, want) {
				t.Errorf("the overlay has %v, want %v", kinds, want)
			}
			apply := append([]string{"apply", "-f", file}, tc.flags...)
			w.kubectl(apply...)
			before := w.settled(objects)
			if diff := w.kubectl(append([]string{"diff", "-f", file}, tc.flags...)...); diff != "" {
				t.Errorf("kubectl diff, after the controllers have run:\n%s", diff)
			}
			w.kubectl(apply...)
			for object, version := range w.versions(objects) {
				if version != before[object] {
					t.Errorf("applying again has written %s", object)
				}
			}
			for _, object := range objects {
				w.checkOwners(object)
			}
			w.checkChildren()
		})
	}
}

// checkOwners: the manager owns status, and nothing that the tool applies.
func (w *world) checkOwners(object *unstructured.Unstructured) {
	w.Helper()
	live, err := w.get(object.GetKind(), object.GetName())
	w.must(err)
	seen := map[string]bool{}
	for _, entry := range live.GetManagedFields() {
		seen[entry.Manager] = true
		fields := entry.FieldsV1.GetRawString()
		switch entry.Manager {
		case "gitops":
			if entry.Subresource != "" || strings.Contains(fields, `"f:status"`) {
				w.Errorf("%s %s: the tool owns status: %s", object.GetKind(), object.GetName(), fields)
			}
		case controllers.FieldOwner:
			if entry.Subresource != "status" || strings.Contains(fields, `"f:spec"`) || strings.Contains(fields, `"f:metadata"`) {
				w.Errorf("%s %s: the manager owns more than status: %q %s", object.GetKind(), object.GetName(), entry.Subresource, fields)
			}
		default:
			w.Errorf("%s %s is written by %s", object.GetKind(), object.GetName(), entry.Manager)
		}
	}
	if !seen["gitops"] || !seen[controllers.FieldOwner] {
		w.Errorf("%s %s is written by %v only", object.GetKind(), object.GetName(), seen)
	}
}

// checkChildren: what the manager makes is the manager's alone, and bears no marks of the tool.
func (w *world) checkChildren() {
	w.Helper()
	children := 0
	for _, kind := range []schema.GroupVersionKind{
		corev1.SchemeGroupVersion.WithKind("Secret"), corev1.SchemeGroupVersion.WithKind("ServiceAccount"),
		rbacv1.SchemeGroupVersion.WithKind("Role"), rbacv1.SchemeGroupVersion.WithKind("RoleBinding"),
	} {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(kind)
		w.must(w.env.Client.List(w.Context(), list, client.InNamespace(w.namespace)))
		for i := range list.Items {
			child := &list.Items[i]
			if len(child.GetOwnerReferences()) == 0 {
				continue // the namespace's own
			}
			children++
			where := kind.Kind + " " + child.GetName()
			for name := range merged(child.GetLabels(), child.GetAnnotations()) {
				if trackingLabels[name] != "" || trackingAnnotations[name] != "" {
					w.Errorf("%s bears the tool's mark %s", where, name)
				}
			}
			for _, entry := range child.GetManagedFields() {
				if entry.Manager != controllers.FieldOwner {
					w.Errorf("%s is written by %s", where, entry.Manager)
				}
			}
		}
	}
	if children < 5 {
		w.Errorf("the manager has made %d objects", children)
	}
}

// TestExamplesFitTheRepository: the paths and namespaces of the tools' examples are those of the layout, and the relay
// is not pruned by either.
func TestExamplesFitTheRepository(t *testing.T) {
	var application struct {
		Spec struct {
			Source      struct{ Path string }
			Destination struct{ Namespace string }
		}
	}
	readYAML(t, "argocd/application.yaml", &application)
	content, err := os.ReadFile("flux/relays.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var kustomization struct {
		Spec struct{ Path, TargetNamespace string }
	}
	if err := yaml.Unmarshal(lastDocument(content), &kustomization); err != nil {
		t.Fatal(err)
	}
	var overlay struct{ Namespace string }
	readYAML(t, repository+"production/kustomization.yaml", &overlay)
	for tool, told := range map[string][2]string{
		"Argo CD": {application.Spec.Source.Path, application.Spec.Destination.Namespace},
		"Flux":    {kustomization.Spec.Path, kustomization.Spec.TargetNamespace},
	} {
		if want := [2]string{"overlays/production", overlay.Namespace}; told != want {
			t.Errorf("%s is told %q, want %q", tool, told, want)
		}
	}
	relay := &unstructured.Unstructured{}
	readYAML(t, "../samples/gitops/base/relayserver.yaml", &relay.Object)
	annotations := relay.GetAnnotations()
	if annotations["kustomize.toolkit.fluxcd.io/prune"] != "disabled" || !strings.Contains(annotations["argocd.argoproj.io/sync-options"], "Prune=false") {
		t.Errorf("the RelayServer may be pruned: %v", annotations)
	}
}
