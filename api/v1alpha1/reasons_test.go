package v1alpha1_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tegata-dev/tegata/api/v1alpha1"
	"github.com/tegata-dev/tegata/internal/decision"
)

// TestReasonsAreTheDecisions: the API's reasons are the decision's, in the order of its checks.
func TestReasonsAreTheDecisions(t *testing.T) {
	var want []v1alpha1.Reason
	for _, reason := range decision.Reasons() {
		want = append(want, v1alpha1.Reason(reason.String()))
	}
	if diff := cmp.Diff(want, v1alpha1.Reasons); diff != "" {
		t.Errorf("v1alpha1.Reasons (-decision +api):\n%s", diff)
	}
}

// TestReasonsListsEachConstant reads the source: a constant that Reasons forgets would go unnoticed.
func TestReasonsListsEachConstant(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "reasons.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var constants []v1alpha1.Reason
	ast.Inspect(file, func(n ast.Node) bool {
		spec, isValue := n.(*ast.ValueSpec)
		if !isValue {
			return true
		}
		if kind, named := spec.Type.(*ast.Ident); !named || kind.Name != "Reason" {
			return false
		}
		for _, value := range spec.Values {
			literal, isLiteral := value.(*ast.BasicLit)
			if !isLiteral {
				t.Fatalf("%s is no literal", spec.Names[0])
			}
			text, err := strconv.Unquote(literal.Value)
			if err != nil {
				t.Fatal(err)
			}
			if want := "Reason" + text; spec.Names[0].Name != want {
				t.Errorf("constant %s is %q, want it named %s", spec.Names[0], text, want)
			}
			constants = append(constants, v1alpha1.Reason(text))
		}
		return false
	})
	if diff := cmp.Diff(constants, v1alpha1.Reasons); diff != "" {
		t.Errorf("v1alpha1.Reasons (-constants +listed):\n%s", diff)
	}
}
