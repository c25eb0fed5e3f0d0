// Command chart copies the objects of config/ that need no values into config/chart/objects, where the templates of the
// chart read them: so an object that is added to config/ is in the chart, too. It owns which object goes to which file.
// It must not change what is installed: that is config/, and a test compares what both render.
//
//	chart --root DIR
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// parts are the files and the kustomizations in config/ that they are made of. What values turn on and off is a file of
// its own, and a line in config/chart/templates/objects.yaml.
var parts = []struct{ file, dir, without string }{
	{file: "core", dir: "before-1.36"},
	{file: "since-1.36", dir: "default", without: "before-1.36"},
	{file: "history", dir: "history"},
	{file: "prometheus", dir: "prometheus"},
}

// byKind are the files for objects of a kind, whatever part they are of.
var byKind = map[string]string{"CustomResourceDefinition": "crds", "NetworkPolicy": "network-policies"}

// templated are the objects that have values, and so a template of their own.
var templated = []string{
	"Deployment tegata-manager",
	"NetworkPolicy tegata-manager",
	"NetworkPolicy tegata-history",
	"APIService v1alpha1.history.tegata.dev",
	// Helm makes it (--create-namespace), and would refuse to have it as an object besides.
	"Namespace tegata-system",
}

func main() {
	root := flag.String("root", ".", "directory of the repository")
	flag.Parse()
	if err := run(*root); err != nil {
		fmt.Fprintln(os.Stderr, "chart:", err)
		os.Exit(1)
	}
}

func run(root string) error {
	files, err := generate(root)
	if err != nil {
		return err
	}
	dir := filepath.Join(root, "config", "chart", "objects")
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // it is published
		return err
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name+".yaml"), content, 0o644); err != nil { //nolint:gosec // as above
			return err
		}
	}
	return nil
}

// generate is the content of each file.
func generate(root string) (map[string][]byte, error) {
	files := map[string]*bytes.Buffer{}
	for _, part := range parts {
		objects, err := render(filepath.Join(root, "config", part.dir))
		if err != nil {
			return nil, fmt.Errorf("render config/%s: %w", part.dir, err)
		}
		if part.without != "" {
			less, err := render(filepath.Join(root, "config", part.without))
			if err != nil {
				return nil, fmt.Errorf("render config/%s: %w", part.without, err)
			}
			objects = slices.DeleteFunc(objects, func(o *resource.Resource) bool {
				return slices.ContainsFunc(less, func(l *resource.Resource) bool { return l.CurId() == o.CurId() })
			})
		}
		for _, object := range objects {
			if err := add(files, part.file, object); err != nil {
				return nil, err
			}
		}
	}
	contents := map[string][]byte{}
	for name, text := range files {
		contents[name] = text.Bytes()
	}
	return contents, nil
}

const header = "# Made of config/ by `make manifests`.\n"

func add(files map[string]*bytes.Buffer, file string, object *resource.Resource) error {
	if slices.Contains(templated, object.GetKind()+" "+object.GetName()) {
		return nil
	}
	if own, ok := byKind[object.GetKind()]; ok {
		file = own
	}
	if file == "crds" {
		// With a kind all its objects go: helm uninstall leaves it.
		annotations := object.GetAnnotations()
		annotations["helm.sh/resource-policy"] = "keep"
		if err := object.SetAnnotations(annotations); err != nil {
			return err
		}
	}
	text, err := object.AsYAML()
	if err != nil {
		return fmt.Errorf("%s %s: %w", object.GetKind(), object.GetName(), err)
	}
	separator := "---\n"
	if files[file] == nil {
		files[file], separator = &bytes.Buffer{}, header
	}
	files[file].WriteString(separator)
	files[file].Write(text)
	return nil
}

func render(dir string) ([]*resource.Resource, error) {
	options := krusty.MakeDefaultOptions()
	options.Reorder = krusty.ReorderOptionLegacy
	objects, err := krusty.MakeKustomizer(options).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		return nil, err
	}
	return objects.Resources(), nil
}
