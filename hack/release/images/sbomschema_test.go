package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// TestSBOMFitsItsSchema holds each to the schema that CycloneDX publishes, which the library's module carries.
func TestSBOMFitsItsSchema(t *testing.T) {
	schema := cyclonedxSchema(t)
	eachImage(t, func(t *testing.T, command, arch string) {
		content, err := os.ReadFile(filepath.Join(archives(t), "tegata-"+command+"-"+arch+".cdx.json"))
		if err != nil {
			t.Fatal(err)
		}
		sbom, err := jsonschema.UnmarshalJSON(bytes.NewReader(content))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(sbom); err != nil {
			t.Error(err)
		}
		// The schema would catch a mistake: a part without a type is one.
		broken, err := jsonschema.UnmarshalJSON(bytes.NewReader(bytes.Replace(content, []byte(`"type": "library",`), nil, 1)))
		if err != nil {
			t.Fatal(err)
		}
		if schema.Validate(broken) == nil {
			t.Error("the schema takes a part without a type")
		}
	})
}

func cyclonedxSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/CycloneDX/cyclonedx-go").Output()
	if err != nil {
		t.Fatal(err)
	}
	const base = "http://cyclonedx.org/schema/"
	compiler := jsonschema.NewCompiler()
	for name, file := range map[string]string{
		"bom-1.6.schema.json": "bom-1.6.schema.json", "spdx.schema.json": "spdx.schema.json", "jsf-0.82.schema.json": "jsf-0.82.schemax.json",
	} {
		f, err := os.Open(filepath.Join(strings.TrimSpace(string(out)), "schema", file))
		if err != nil {
			t.Fatal(err)
		}
		document, err := jsonschema.UnmarshalJSON(f)
		_ = f.Close() // it was only read
		if err != nil {
			t.Fatal(err)
		}
		if err := compiler.AddResource(base+name, document); err != nil {
			t.Fatal(err)
		}
	}
	schema, err := compiler.Compile(base + "bom-1.6.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}
