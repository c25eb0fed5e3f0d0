package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"helm.sh/helm/v4/pkg/chart/v2/loader"
)

func packed(t *testing.T, version string) (path string, content []byte) {
	t.Helper()
	s := &settings{
		root: "../../..", out: t.TempDir(), prefix: "registry.example.com:5000/tegata-", version: version,
		created: time.Unix(1_700_000_000, 0).UTC(),
	}
	path, err := packChart(s)
	if err != nil {
		t.Fatal(err)
	}
	content, err = os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return path, content
}

// TestChartIsOfTheVersion: Helm loads what was packed, and it is of that version and those images.
func TestChartIsOfTheVersion(t *testing.T) {
	for version, want := range map[string]string{
		"v1.2.3":               "1.2.3",
		"v1.2.3-rc.1":          "1.2.3-rc.1",
		"v1.2.3-5-g0123abc":    "1.2.3-5-g0123abc",
		"0123456":              "0.0.0-version-0123456",
		"feature_x.1":          "0.0.0-version-feature-x-1",
		"v01.2.3":              "0.0.0-version-v01-2-3",
		"v1.2.3-5-gabc.dirty_": "0.0.0-version-v1-2-3-5-gabc-dirty-",
	} {
		t.Run(version, func(t *testing.T) {
			path, _ := packed(t, version)
			if got := filepath.Base(path); got != "tegata-"+want+".tgz" {
				t.Errorf("it is called %s", got)
			}
			chart, err := loader.Load(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := chart.Validate(); err != nil {
				t.Error(err)
			}
			if chart.Metadata.Version != want || chart.Metadata.AppVersion != version {
				t.Errorf("it is %s of %s, want %s of %s", chart.Metadata.Version, chart.Metadata.AppVersion, want, version)
			}
			image, _ := chart.Values["image"].(map[string]any)
			if image["prefix"] != "registry.example.com:5000/tegata-" {
				t.Errorf("its images begin with %v", image["prefix"])
			}
		})
	}
}

// TestChartIsWhole: it holds what the chart in the repository does, and what Helm does not need to be told of is out.
func TestChartIsWhole(t *testing.T) {
	path, _ := packed(t, "v1.2.3")
	chart, err := loader.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	source, err := loader.Load("../../../config/chart")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, file := range chart.Raw {
		names[file.Name] = true
	}
	for _, file := range source.Raw {
		if !names[file.Name] {
			t.Errorf("%s is missing", file.Name)
		}
	}
	if len(names) != len(source.Raw) {
		t.Errorf("it has %d files, the chart in the repository %d", len(names), len(source.Raw))
	}
}

func TestChartIsReproducible(t *testing.T) {
	_, one := packed(t, "v1.2.3")
	_, other := packed(t, "v1.2.3")
	if !bytes.Equal(one, other) {
		t.Error("packed twice, it differs")
	}
}
