package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

// rendered are the objects of one file.
func rendered(t *testing.T, dir, name string) []map[string]any {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	var objects []map[string]any
	for document := range strings.SplitSeq(string(content), "\n---\n") {
		object := map[string]any{}
		if err := yaml.UnmarshalStrict([]byte(document), &object); err != nil {
			t.Fatal(err)
		}
		objects = append(objects, object)
	}
	return objects
}

// imagesIn finds every field image of a container, wherever it is.
func imagesIn(value any) []string {
	var found []string
	switch v := value.(type) {
	case map[string]any:
		if image, ok := v["image"].(string); ok {
			found = append(found, image)
		}
		for _, inner := range v {
			found = append(found, imagesIn(inner)...)
		}
	case []any:
		for _, inner := range v {
			found = append(found, imagesIn(inner)...)
		}
	}
	return found
}

func TestImagesAreOfTheVersion(t *testing.T) {
	for name, prefix := range map[string]string{
		"ours":            "ghcr.io/tegata-dev/tegata-",
		"copied to yours": "registry.example.com:5000/mirror/tegata-",
	} {
		t.Run(name, func(t *testing.T) {
			s := &settings{root: "../../..", out: t.TempDir(), prefix: prefix, version: "v1.2.3"}
			if err := run(s, t.Output()); err != nil {
				t.Fatal(err)
			}
			for file, want := range map[string][]string{
				// Deployments are run, and what the PodTemplate has is put into relays' pods.
				"install.yaml":             {prefix + "manager:v1.2.3", prefix + "sidecar:v1.2.3"},
				"install-before-1.36.yaml": {prefix + "manager:v1.2.3"},
			} {
				var images []string
				for _, object := range rendered(t, s.out, file) {
					if object["kind"] == "Deployment" || object["kind"] == "PodTemplate" {
						images = append(images, imagesIn(object)...)
					}
				}
				slices.Sort(images)
				if diff := cmp.Diff(want, images); diff != "" {
					t.Errorf("images in %s (-want +got):\n%s", file, diff)
				}
			}
		})
	}
}

// TestFilesAreWhole: they hold what kustomize has, and in an order that can be applied.
func TestFilesAreWhole(t *testing.T) {
	s := &settings{root: "../../..", out: t.TempDir(), prefix: "ghcr.io/tegata-dev/tegata-", version: "v1.2.3"}
	if err := run(s, t.Output()); err != nil {
		t.Fatal(err)
	}
	kinds := map[string]map[string]int{}
	for file := range variants {
		kinds[file] = map[string]int{}
		for i, object := range rendered(t, s.out, file) {
			kind, _ := object["kind"].(string)
			kinds[file][kind]++
			if i == 0 && kind != "Namespace" {
				t.Errorf("%s begins with a %s", file, kind)
			}
		}
	}
	if got := kinds["install.yaml"]; got["CustomResourceDefinition"] != 3 || got["Deployment"] == 0 || got["MutatingAdmissionPolicy"] == 0 {
		t.Errorf("install.yaml holds %v", got)
	}
	if got := kinds["install-before-1.36.yaml"]; got["CustomResourceDefinition"] != 3 || got["Deployment"] == 0 || got["MutatingAdmissionPolicy"] > 0 {
		t.Errorf("install-before-1.36.yaml holds %v", got)
	}
}

func TestVersionIsRequired(t *testing.T) {
	if err := run(&settings{root: "../../..", out: t.TempDir()}, t.Output()); err == nil {
		t.Error("it renders images of no version")
	}
}
