package doctor

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestPoliciesAreThoseThatAreInstalled, so that doctor misses none that is added.
func TestPoliciesAreThoseThatAreInstalled(t *testing.T) {
	files, err := filepath.Glob("../../../config/policies/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile(`(?m)^kind: ValidatingAdmissionPolicy\nmetadata:\n  name: (\S+)$`)
	var installed []string
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range named.FindAllSubmatch(content, -1) {
			installed = append(installed, string(match[1]))
		}
	}
	slices.Sort(installed)
	if diff := cmp.Diff(installed, policies); diff != "" {
		t.Errorf("policies (-installed +looked for):\n%s", diff)
	}
}
