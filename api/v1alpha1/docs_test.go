package v1alpha1_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// docsPages are the pages of the kinds, by the singular of each kind.
var docsPages = map[string]string{
	"relayserver": "../../docs/relayserver.md", "relayuser": "../../docs/relayuser.md", "devicereset": "../../docs/devicereset.md",
}

func readPage(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// TestDocsNameEveryField: a field that is added gets its line in the page of its kind.
func TestDocsNameEveryField(t *testing.T) {
	for _, crd := range readCRDs(t) {
		page := readPage(t, docsPages[crd.singular])
		for _, part := range []string{"spec", "status"} {
			for _, field := range fieldsOf(crd.root.Properties[part]) {
				if !regexp.MustCompile(`\b` + field + `\b`).MatchString(page) {
					t.Errorf("%s does not mention the field %s of %s.%s", docsPages[crd.singular], field, crd.singular, part)
				}
			}
		}
	}
}

// fieldsOf lists the names of fields at any depth. Those of a condition are Kubernetes' own.
func fieldsOf(s schema) []string {
	if s.Items != nil {
		s = *s.Items
	}
	var names []string
	for name, property := range s.Properties {
		names = append(names, name)
		if name != "conditions" {
			names = append(names, fieldsOf(property)...)
		}
	}
	return names
}

// TestDocsNameEveryReason: a reason that a person meets in a condition or an outcome is explained.
func TestDocsNameEveryReason(t *testing.T) {
	files, err := filepath.Glob("*_types.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		path, ofAKind := docsPages[strings.TrimSuffix(file, "_types.go")]
		if !ofAKind {
			continue
		}
		page := readPage(t, path)
		for name, value := range constantsOf(t, file) {
			explained := strings.HasPrefix(name, "Reason") || strings.HasPrefix(name, "Condition") || strings.HasPrefix(name, "SlotOutcome")
			if explained && !strings.Contains(page, "`"+value+"`") {
				t.Errorf("the page of %s does not explain `%s`", file, value)
			}
		}
	}
}

// constantsOf are the string constants of a file, by name.
func constantsOf(t *testing.T, path string) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	constants := map[string]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, isValue := n.(*ast.ValueSpec)
		if !isValue || len(spec.Values) != 1 {
			return true
		}
		if literal, isLiteral := spec.Values[0].(*ast.BasicLit); isLiteral && literal.Kind == token.STRING {
			value, err := strconv.Unquote(literal.Value)
			if err != nil {
				t.Fatal(err)
			}
			constants[spec.Names[0].Name] = value
		}
		return false
	})
	return constants
}

// TestDocsExamplesApply applies every example of the pages, each page in a namespace of its own.
func TestDocsExamplesApply(t *testing.T) {
	example := regexp.MustCompile("(?s)```yaml\n(.*?)```")
	for kind, path := range docsPages {
		t.Run(kind, func(t *testing.T) {
			k := newKubectl(t)
			examples := example.FindAllStringSubmatch(readPage(t, path), -1)
			if len(examples) == 0 {
				t.Fatalf("%s has no example", path)
			}
			for _, match := range examples {
				k.run(match[1], "apply", "-f", "-")
			}
		})
	}
}
