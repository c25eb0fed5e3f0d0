package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// krewPlugin is Krew's manifest (krew.googlecontainertools.github.com/v1alpha2), as far as it may be used.
type krewPlugin struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Version          string `json:"version"`
		ShortDescription string `json:"shortDescription"`
		Description      string `json:"description"`
		Caveats          string `json:"caveats"`
		Homepage         string `json:"homepage"`
		Platforms        []struct {
			URI      string                `json:"uri"`
			SHA256   string                `json:"sha256"`
			Selector *metav1.LabelSelector `json:"selector"`
			Bin      string                `json:"bin"`
			Files    []struct {
				From string `json:"from"`
				To   string `json:"to"`
			} `json:"files"`
		} `json:"platforms"`
	} `json:"spec"`
}

// TestKrewInstallsTheRelease does what Krew does with the manifest and the archive of this machine's platform.
func TestKrewInstallsTheRelease(t *testing.T) {
	const url = "https://example.com/v0.1.0"
	dist, install := t.TempDir(), t.TempDir()
	release := exec.CommandContext(t.Context(), filepath.Join("..", "..", "hack", "krew", "release.sh"), "v0.1.0", dist, url)
	release.Env = append(os.Environ(), "PLATFORMS="+runtime.GOOS+"/"+runtime.GOARCH)
	if out, err := release.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	manifest, err := os.ReadFile(filepath.Join(dist, "relay.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var plugin krewPlugin
	if err := yaml.UnmarshalStrict(manifest, &plugin); err != nil {
		t.Fatalf("%v\n%s", err, manifest)
	}
	spec := &plugin.Spec
	switch {
	case plugin.APIVersion != "krew.googlecontainertools.github.com/v1alpha2" || plugin.Kind != "Plugin" || plugin.Name != "relay":
		t.Errorf("it is %s %s %s", plugin.APIVersion, plugin.Kind, plugin.Name)
	case spec.Version != "v0.1.0" || !strings.HasPrefix(spec.Homepage, "https://") || spec.Description == "" || spec.Caveats == "":
		t.Errorf("it says %+v", spec)
	case spec.ShortDescription == "" || len(spec.ShortDescription) > 50: // what krew-index takes
		t.Errorf("the short description has %d characters", len(spec.ShortDescription))
	case len(spec.Platforms) != 1:
		t.Fatalf("%d platforms", len(spec.Platforms))
	}
	platform := &spec.Platforms[0]
	selector, err := metav1.LabelSelectorAsMap(platform.Selector)
	if err != nil || selector["os"] != runtime.GOOS || selector["arch"] != runtime.GOARCH {
		t.Errorf("it is for %v, %v", selector, err)
	}
	archive, err := os.ReadFile(filepath.Join(dist, path.Base(platform.URI)))
	if err != nil || platform.URI != url+"/"+path.Base(platform.URI) {
		t.Fatalf("%s: %v", platform.URI, err)
	}
	if sum := sha256.Sum256(archive); hex.EncodeToString(sum[:]) != platform.SHA256 {
		t.Errorf("the checksum is %s", platform.SHA256)
	}
	files := unpack(t, archive)
	for _, move := range platform.Files {
		file, ok := files[move.From]
		if !ok {
			t.Fatalf("%s is not in the archive, which has %v", move.From, files)
		}
		if err := os.WriteFile(filepath.Join(install, move.To, filepath.Base(move.From)), file.content, file.mode); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.CommandContext(t.Context(), filepath.Join(install, platform.Bin), "--version").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "v0.1.0") {
		t.Errorf("%s --version: %v\n%s", platform.Bin, err, out)
	}
	if _, err := os.Stat(filepath.Join(install, "LICENSE")); err != nil {
		t.Error(err)
	}
}

type packed struct {
	mode    fs.FileMode
	content []byte
}

// unpack is an archive's files by their names, none of which leads elsewhere.
func unpack(t *testing.T, archive []byte) map[string]packed {
	t.Helper()
	unzipped, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]packed{}
	for reader := tar.NewReader(unzipped); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		name := path.Clean(header.Name)
		if !regexp.MustCompile(`^[A-Za-z0-9.-]+$`).MatchString(name) {
			t.Errorf("the archive has %s", header.Name)
		}
		content, err := io.ReadAll(reader)
		if err != nil {
			t.Fatal(err)
		}
		if header.Typeflag == tar.TypeReg {
			files[name] = packed{header.FileInfo().Mode(), content}
		}
	}
}
