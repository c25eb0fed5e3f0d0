package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// TestSBOM: it lists what go.mod requires and the program has, and what else is in the image.
func TestSBOM(t *testing.T) {
	eachImage(t, func(t *testing.T, command, arch string) {
		content, err := os.ReadFile(filepath.Join(archives(t), "tegata-"+command+"-"+arch+".cdx.json"))
		if err != nil {
			t.Fatal(err)
		}
		bom := &cdx.BOM{}
		if err := cdx.NewBOMDecoder(bytes.NewReader(content), cdx.BOMFileFormatJSON).Decode(bom); err != nil {
			t.Fatal(err)
		}
		if subject := bom.Metadata.Component; subject.Name != "tegata-"+command || subject.Version != "v1.2.3" ||
			subject.PackageURL != "pkg:golang/github.com/tegata-dev/tegata@v1.2.3#cmd/"+command {
			t.Errorf("it is about %s %s, %s", subject.Name, subject.Version, subject.PackageURL)
		}
		listed := map[string]bool{}
		for _, component := range *bom.Components {
			if listed[component.PackageURL] {
				t.Errorf("%s is listed twice", component.PackageURL)
			}
			listed[component.PackageURL] = true
		}
		for _, want := range []string{
			"pkg:golang/sigs.k8s.io/controller-runtime@" + versionOf(t, repository, "sigs.k8s.io/controller-runtime"),
			"pkg:golang/k8s.io/client-go@" + versionOf(t, repository, "k8s.io/client-go"),
			"pkg:golang/golang.org/x/crypto/x509roots/fallback@" + versionOf(t, "..", rootsModule),
			"pkg:golang/std@" + goVersion(t),
		} {
			if !listed[want] {
				t.Errorf("%s is not listed in\n%s", want, content)
			}
		}
	})
}

// versionOf is the version of a module that the go.mod in dir requires.
func versionOf(t *testing.T, dir, module string) string {
	t.Helper()
	list := exec.Command("go", "list", "-m", "-json", module)
	list.Dir = dir
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	answer := struct{ Version string }{}
	if err := json.Unmarshal(out, &answer); err != nil {
		t.Fatal(err)
	}
	return answer.Version
}

func goVersion(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOVERSION").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(strings.TrimSpace(string(out)), "go")
}
