package testenv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// systemNamespace takes manifests that name no namespace of their own.
	systemNamespace = "tegata-system"
	fieldOwner      = client.FieldOwner("testenv")
	// establishTimeout bounds the wait for a CRD to be served.
	establishTimeout = 20 * time.Second
)

// Apply applies the manifests in a file or, not below it, in a directory, by server-side apply as the
// administrator. An object of a namespaced kind that names no namespace goes to namespace. A namespace
// that is missing is made. A kustomization is passed over. It returns once every CRD among them is
// served; a policy may take a moment longer to bite.
func Apply(ctx context.Context, c client.Client, namespace, path string) error {
	objects, err := readManifests(path)
	if err != nil {
		return fmt.Errorf("read the manifests in %s: %w", path, err)
	}
	for _, object := range objects {
		if err := applyObject(ctx, c, namespace, object); err != nil {
			return fmt.Errorf("apply %s %s from %s: %w", object.GetKind(), object.GetName(), path, err)
		}
	}
	for _, object := range objects {
		if err := awaitEstablished(ctx, c, object); err != nil {
			return fmt.Errorf("apply %s from %s: %w", object.GetName(), path, err)
		}
	}
	return nil
}

func applyObject(ctx context.Context, c client.Client, namespace string, object *unstructured.Unstructured) error {
	namespaced, err := c.IsObjectNamespaced(object)
	if err != nil {
		return err
	}
	if namespaced {
		if object.GetNamespace() == "" {
			object.SetNamespace(namespace)
		}
		space := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: object.GetNamespace()}}
		if err := c.Create(ctx, space); client.IgnoreAlreadyExists(err) != nil {
			return err
		}
	}
	return c.Apply(ctx, client.ApplyConfigurationFromUnstructured(object), fieldOwner, client.ForceOwnership)
}

// awaitEstablished waits until a CRD is served; objects of other kinds are in force when applied.
func awaitEstablished(ctx context.Context, c client.Client, object *unstructured.Unstructured) error {
	if object.GetKind() != "CustomResourceDefinition" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, establishTimeout)
	defer cancel()
	return poll(ctx, func() error {
		if err := c.Get(ctx, client.ObjectKeyFromObject(object), object); err != nil {
			return err
		}
		conditions, _, err := unstructured.NestedSlice(object.Object, "status", "conditions")
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(conditions, isEstablished) {
			return fmt.Errorf("not established: %v", conditions)
		}
		return nil
	})
}

func isEstablished(condition any) bool {
	fields, ok := condition.(map[string]any)
	return ok && fields["type"] == "Established" && fields["status"] == "True"
}

// readManifests reads the objects in a file, or in the files of a directory by name, namespaces first.
func readManifests(path string) ([]*unstructured.Unstructured, error) {
	files := []string{path}
	if entries, err := os.ReadDir(path); err == nil {
		files = nil
		for _, entry := range entries {
			if !entry.IsDir() && filepath.Ext(entry.Name()) == ".yaml" && entry.Name() != "kustomization.yaml" {
				files = append(files, filepath.Join(path, entry.Name()))
			}
		}
	}
	var objects []*unstructured.Unstructured
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		read, err := decodeManifests(content)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		objects = append(objects, read...)
	}
	slices.SortStableFunc(objects, namespacesFirst)
	return objects, nil
}

func namespacesFirst(a, b *unstructured.Unstructured) int {
	rank := func(o *unstructured.Unstructured) int {
		if o.GetKind() == "Namespace" {
			return 0
		}
		return 1
	}
	return rank(a) - rank(b)
}

func decodeManifests(content []byte) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(content), len(content)+1)
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(&object.Object)
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, err
		}
		if len(object.Object) > 0 { // a document of comments only
			objects = append(objects, object)
		}
	}
}

// install applies what the project ships for every cluster: the CRDs, and the roles and policies when
// they are there.
func install(ctx context.Context, c client.Client) error {
	root, err := repositoryRoot()
	if err != nil {
		return err
	}
	for _, dir := range []string{"config/crd/bases", "config/rbac", "config/policies"} {
		path := filepath.Join(root, filepath.FromSlash(dir))
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) && dir != "config/crd/bases" {
			continue
		}
		if err := Apply(ctx, c, systemNamespace, path); err != nil {
			return err
		}
	}
	// A client that asked before a CRD was served must ask again.
	meta.MaybeResetRESTMapper(c.RESTMapper())
	return nil
}
