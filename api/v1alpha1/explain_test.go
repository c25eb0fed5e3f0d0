package v1alpha1_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/yaml"
)

// schema is what matters here of a CRD's schema.
type schema struct {
	Description string            `json:"description"`
	Properties  map[string]schema `json:"properties"`
	Items       *schema           `json:"items"`
}

// crd is a CRD as it is shipped.
type crd struct {
	singular string
	root     schema
}

func readCRDs(t *testing.T) []crd {
	t.Helper()
	files, err := filepath.Glob("../../config/crd/bases/*.yaml")
	if err != nil || len(files) != 3 {
		t.Fatalf("CRDs %q, %v; want three", files, err)
	}
	var crds []crd
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var read struct {
			Spec struct {
				Names    struct{ Singular string }
				Versions []struct {
					Schema struct{ OpenAPIV3Schema schema }
				}
			}
		}
		if err := yaml.Unmarshal(content, &read); err != nil {
			t.Fatal(err)
		}
		crds = append(crds, crd{singular: read.Spec.Names.Singular, root: read.Spec.Versions[0].Schema.OpenAPIV3Schema})
	}
	return crds
}

// TestEveryFieldIsExplained walks the schemas of the CRDs: what `kubectl explain` prints of a field begins
// with the field's name, as in Kubernetes itself, and is a sentence.
func TestEveryFieldIsExplained(t *testing.T) {
	for _, crd := range readCRDs(t) {
		for _, part := range []string{"spec", "status"} {
			explained(t, crd.singular+"."+part, part, crd.root.Properties[part])
		}
	}
}

func explained(t *testing.T, path, name string, s schema) {
	t.Helper()
	if !strings.HasPrefix(s.Description, name+" ") && !strings.HasPrefix(s.Description, name+":") {
		t.Errorf("%s is explained as %q, which does not begin with its name", path, s.Description)
	}
	// The words on metav1.Condition are Kubernetes' own.
	if !strings.HasSuffix(s.Description, ".") && !strings.Contains(path, ".conditions.") {
		t.Errorf("%s is explained as %q, which is no sentence", path, s.Description)
	}
	if s.Items != nil {
		s = *s.Items
	}
	for name, property := range s.Properties {
		explained(t, path+"."+name, name, property)
	}
}

func TestKubectlExplain(t *testing.T) {
	k := newKubectl(t)
	for path, want := range map[string][]string{
		"relayuser":              {"KIND: RelayUser", "RelayUser is one person's account on a relay and the devices bound to it."},
		"relayuser.spec.type":    {"ENUM: General Administrator"},
		"relayuser.status.slots": {"state <string> -required- enum: Unregistered, Reserved, Registered", "reservedFor is the digest of the only device that may register in a Reserved slot."},
		"rsv.spec.enrollment":    {"FirstLogin: the first device that logs in with the right password."},
		"dr.spec.previousDevice": {"previousDevice says whether the removed device may register again. Deny: it may not."},
	} {
		got := strings.Join(strings.Fields(k.run("", "explain", path)), " ")
		for _, want := range want {
			if !strings.Contains(got, want) {
				t.Errorf("kubectl explain %s does not say %q:\n%s", path, want, got)
			}
		}
	}
	fields := strings.Fields(k.run("", "explain", "relayuser.spec", "--recursive"))
	for _, want := range []string{"serverRef", "userName", "combined", "unbound", "allowedCIDRs", "allowedMACs", "secretRef", "windows", "memo"} {
		if !slices.Contains(fields, want) {
			t.Errorf("kubectl explain relayuser.spec --recursive does not list %s", want)
		}
	}
}
