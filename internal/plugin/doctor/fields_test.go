package doctor

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/tegata-dev/tegata/api/v1alpha1"
)

func readCRD(t *testing.T, plural string) *unstructured.Unstructured {
	t.Helper()
	content, err := os.ReadFile("../../../config/crd/bases/tegata.dev_" + plural + ".yaml")
	if err != nil {
		t.Fatal(err)
	}
	crd := &unstructured.Unstructured{}
	if err := yaml.Unmarshal(content, &crd.Object); err != nil {
		t.Fatal(err)
	}
	return crd
}

// TestMissingFields: the CRDs of this source lack nothing; an older one lacks what came later, at whatever depth.
func TestMissingFields(t *testing.T) {
	for plural, known := range map[string]any{
		"deviceresets": v1alpha1.DeviceReset{}, "relayservers": v1alpha1.RelayServer{}, "relayusers": v1alpha1.RelayUser{},
	} {
		if missing := missingFields(schemaOf(readCRD(t, plural)), known); len(missing) > 0 {
			t.Errorf("%s lacks %v", plural, missing)
		}
	}
	older := schemaOf(readCRD(t, "relayusers"))
	unstructured.RemoveNestedField(older, "properties", "spec", "properties", "memo")
	unstructured.RemoveNestedField(older, "properties", "status", "properties", "slots", "items", "properties", "binding", "properties", "kind")
	want := []string{"spec.memo", "status.slots.binding.kind"}
	if diff := cmp.Diff(want, missingFields(older, v1alpha1.RelayUser{})); diff != "" {
		t.Errorf("missing (-want +got):\n%s", diff)
	}
	if got := missingFields(schemaOf(&unstructured.Unstructured{Object: map[string]any{}}), v1alpha1.RelayUser{}); len(got) != 2 {
		t.Errorf("of a CRD without the version: %v", got)
	}
}
