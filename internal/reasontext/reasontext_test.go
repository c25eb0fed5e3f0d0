package reasontext

import (
	"slices"
	"strings"
	"testing"

	"github.com/tegata-dev/tegata/api/v1alpha1"
)

// TestEveryReasonHasATextAndNoOtherHas, so that a reason that is taken out of the API is taken out here.
func TestEveryReasonHasATextAndNoOtherHas(t *testing.T) {
	for _, reason := range append(slices.Clone(v1alpha1.Reasons), Other) {
		text, known := Of(reason)
		if !known || !strings.HasSuffix(text.English, ".") || !strings.HasSuffix(text.Japanese, "。") {
			t.Errorf("%s is %+v", reason, text)
		}
	}
	if len(texts) != len(v1alpha1.Reasons)+1 {
		t.Errorf("%d texts of %d reasons and Other", len(texts), len(v1alpha1.Reasons))
	}
	if _, known := Of("Newer"); known {
		t.Error("an unknown reason has a text")
	}
}
