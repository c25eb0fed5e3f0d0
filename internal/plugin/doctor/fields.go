package doctor

import (
	"reflect"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/tegata-dev/tegata/api/v1alpha1"
)

// tegataKinds are the plural names of the kinds.
var tegataKinds = []string{"deviceresets", "relayservers", "relayusers"}

// schemaOf is the schema of the version that this program speaks, nil when the CRD does not have it.
func schemaOf(crd *unstructured.Unstructured) map[string]any {
	versions, _, _ := unstructured.NestedSlice(crd.Object, "spec", "versions")
	for _, each := range versions {
		if version, ok := each.(map[string]any); ok && version["name"] == v1alpha1.GroupVersion.Version {
			found, _, _ := unstructured.NestedMap(version, "schema", "openAPIV3Schema")
			return found
		}
	}
	return nil
}

// maxMissing is how many fields are named.
const maxMissing = 5

// missingFields are those of spec and status that the schema does not have, by their paths: the API server drops them.
func missingFields(schema map[string]any, known any) []string {
	var missing []string
	object := reflect.TypeOf(known)
	for field := range object.Fields() {
		if field.Name == "Spec" || field.Name == "Status" {
			missing = append(missing, missingBelow(schema, strings.ToLower(field.Name), field.Type)...)
		}
	}
	slices.Sort(missing)
	if len(missing) > maxMissing {
		missing = append(missing[:maxMissing], "…")
	}
	return missing
}

// missingBelow looks at one field, and below it as far as the types are this project's.
func missingBelow(schema map[string]any, path string, t reflect.Type) []string {
	name := path[strings.LastIndexByte(path, '.')+1:]
	own, found, _ := unstructured.NestedMap(schema, "properties", name)
	if !found {
		return []string{path}
	}
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		if t.Kind() == reflect.Slice {
			if items, ok, _ := unstructured.NestedMap(own, "items"); ok {
				own = items
			}
		}
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || t.PkgPath() != reflect.TypeFor[v1alpha1.RelayUser]().PkgPath() {
		return nil
	}
	var missing []string
	for field := range t.Fields() {
		tag, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if tag != "" && tag != "-" {
			missing = append(missing, missingBelow(own, path+"."+tag, field.Type)...)
		}
	}
	return missing
}
