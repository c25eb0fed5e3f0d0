package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	"sigs.k8s.io/yaml"
)

const (
	repository = "../../.."
	chartDir   = repository + "/config/chart"
	namespace  = "tegata-system"
	newest     = "v1.37.2"
)

// objects are those of a rendering, by kind, namespace and name.
type objects map[string]map[string]any

// add takes the objects of a YAML file. One that is there already would be made twice.
func (o objects) add(t *testing.T, text string) {
	t.Helper()
	for document := range strings.SplitSeq("\n"+text, "\n---\n") {
		object := map[string]any{}
		if err := yaml.UnmarshalStrict([]byte(document), &object); err != nil {
			t.Fatalf("%v in\n%s", err, document)
		}
		if len(object) == 0 {
			continue
		}
		metadata, _ := object["metadata"].(map[string]any)
		key := fmt.Sprintf("%v %v/%v", object["kind"], orEmpty(metadata["namespace"]), metadata["name"])
		if o[key] != nil {
			t.Errorf("%s is there twice", key)
		}
		o[key] = object
	}
}

func orEmpty(value any) any {
	if value == nil {
		return ""
	}
	return value
}

// kustomized is what kustomize makes of directories.
func kustomized(t *testing.T, dirs ...string) objects {
	t.Helper()
	all := objects{}
	for _, dir := range dirs {
		rendered, err := render(dir)
		if err != nil {
			t.Fatalf("render %s: %v", dir, err)
		}
		for _, object := range rendered {
			text, err := object.AsYAML()
			if err != nil {
				t.Fatal(err)
			}
			all.add(t, string(text))
		}
	}
	return all
}

func loadChart(t *testing.T) *chart.Chart {
	t.Helper()
	loaded, err := loader.Load(chartDir)
	if err != nil {
		t.Fatal(err)
	}
	return loaded
}

// values reads YAML as --values does.
func values(t *testing.T, text string) map[string]any {
	t.Helper()
	all, err := loader.LoadValues(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// templates are the rendered files of the chart, as `helm template` has them.
func templates(t *testing.T, text, namespace, kubeVersion string) (map[string]string, error) {
	t.Helper()
	capabilities := common.DefaultCapabilities.Copy()
	version, err := common.ParseKubeVersion(kubeVersion)
	if err != nil {
		t.Fatal(err)
	}
	capabilities.KubeVersion = *version
	loaded := loadChart(t)
	all, err := util.ToRenderValues(loaded, values(t, text), common.ReleaseOptions{Name: "tegata", Namespace: namespace, IsInstall: true}, capabilities)
	if err != nil {
		return nil, err
	}
	return engine.Render(loaded, all)
}

// helmed is what Helm makes of the chart.
func helmed(t *testing.T, text, namespace, kubeVersion string) objects {
	t.Helper()
	rendered, err := templates(t, text, namespace, kubeVersion)
	if err != nil {
		t.Fatal(err)
	}
	all := objects{}
	for name, text := range rendered {
		if filepath.Ext(name) == ".yaml" {
			all.add(t, text)
		}
	}
	return all
}

// variants are the kustomizations that somebody may apply, and the values with which the chart is the same.
var variants = map[string]struct {
	dirs                []string
	values, kubeVersion string
}{
	"1.36 and later": {[]string{"config/default"}, "", newest},
	"before 1.36":    {[]string{"config/before-1.36"}, "", "v1.35.9"},
	"with the history in SQLite": {
		[]string{"config/default", "config/history-sqlite"},
		"history: {enabled: true, tls: {source: secret}}", newest,
	},
	"with the history in PostgreSQL": {
		[]string{"config/default", "config/history-postgres"},
		"history: {enabled: true, store: postgres, tls: {source: secret}}", newest,
	},
	"with cert-manager": {
		[]string{"config/default", "hack/release/chart/testdata/history-cert-manager"},
		"history: {enabled: true, tls: {source: cert-manager}}", newest,
	},
	"with the Prometheus operator": {
		[]string{"config/default", "config/prometheus"}, "prometheus: {enabled: true}", newest,
	},
}

// TestSameAsKustomize compares object by object. What differs on purpose is in allowed, and nowhere else.
func TestSameAsKustomize(t *testing.T) {
	for name, tc := range variants {
		t.Run(name, func(t *testing.T) {
			var dirs []string
			for _, dir := range tc.dirs {
				dirs = append(dirs, filepath.Join(repository, dir))
			}
			want, got := kustomized(t, dirs...), helmed(t, tc.values, namespace, tc.kubeVersion)
			for _, key := range sorted(want) {
				allowed(key, want)
				switch {
				case want[key] == nil:
				case got[key] == nil:
					t.Errorf("%s has %s, which the chart lacks: run `make manifests`; if it is in templated, it needs a template", tc.dirs, key)
				default:
					if diff := cmp.Diff(want[key], got[key]); diff != "" {
						t.Errorf("%s differs; if it is in templated, change its template in config/chart, else run `make manifests` (-kustomize +helm):\n%s", key, diff)
					}
				}
			}
			for _, key := range sorted(got) {
				if want[key] == nil {
					t.Errorf("the chart has %s, which %s lacks", key, tc.dirs)
				}
			}
		})
	}
}

func sorted(all objects) []string { return slices.Sorted(maps.Keys(all)) }

// allowed evens out what is meant to differ.
func allowed(key string, want objects) {
	switch {
	case key == "Namespace /"+namespace: // `helm install --create-namespace` makes it
		delete(want, key)
	case strings.HasPrefix(key, "CustomResourceDefinition"), strings.HasPrefix(key, "PersistentVolumeClaim"):
		// Uninstalling leaves what people have made.
		annotate(want[key], "helm.sh/resource-policy", "keep")
	}
}

func annotate(object map[string]any, name, value string) {
	metadata, _ := object["metadata"].(map[string]any)
	annotations, _ := metadata["annotations"].(map[string]any)
	if annotations == nil {
		annotations = map[string]any{}
		metadata["annotations"] = annotations
	}
	annotations[name] = value
}

// outside are the directories with kustomizations that the chart has nothing of, and why.
var outside = map[string]string{
	"config/samples": "examples of relays, in namespaces of their own",
}

func isOutside(dir string) bool {
	for outer := range outside {
		if dir == outer || strings.HasPrefix(dir, outer+"/") {
			return true
		}
	}
	return false
}

// TestEveryKustomizationIsInTheChart, so that one that is added is not forgotten.
func TestEveryKustomizationIsInTheChart(t *testing.T) {
	rendered := objects{}
	for _, tc := range variants {
		maps.Copy(rendered, helmed(t, tc.values, namespace, tc.kubeVersion))
	}
	err := filepath.WalkDir(filepath.Join(repository, "config"), func(path string, _ os.DirEntry, err error) error {
		if err != nil || filepath.Base(path) != "kustomization.yaml" {
			return err
		}
		dir, err := filepath.Rel(repository, filepath.Dir(path))
		if err != nil || isOutside(dir) || isComponent(t, path) {
			return err
		}
		for _, key := range sorted(kustomized(t, filepath.Dir(path))) {
			if rendered[key] == nil && key != "Namespace /"+namespace {
				t.Errorf("%s has %s, which no variant of the chart has: add %s to parts in hack/release/chart, with a value and a variant here, or to outside with the reason", dir, key, dir)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// isComponent says whether it is only a part of other people's kustomizations. A variant has to use it.
func isComponent(t *testing.T, path string) bool {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Contains(text, []byte("\nkind: Component\n"))
}

// TestObjectsAreFresh: `make verify` tells it too, but not on a tree that has other changes.
func TestObjectsAreFresh(t *testing.T) {
	files, err := generate(repository)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(chartDir, "objects", name+".yaml"))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("config/chart/objects/%s.yaml is stale (%v): run `make manifests`", name, err)
		}
	}
}
