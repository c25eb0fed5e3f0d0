package main

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
)

const repository = "../../.."

// shared is what all tests look at: it takes a while to make.
var shared struct {
	once sync.Once
	dir  string
	err  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if shared.dir != "" {
		_ = os.RemoveAll(shared.dir)
	}
	os.Exit(code)
}

func testSettings(out string) *settings {
	return &settings{
		root: repository, out: out, prefix: "ghcr.io/tegata-dev/tegata-", version: "v1.2.3", revision: "0123abc",
		created: time.Unix(1_700_000_000, 0).UTC(), arches: architectures, commands: commands,
	}
}

// archives is the directory of all archives, made once.
func archives(t *testing.T) string {
	t.Helper()
	shared.once.Do(func() {
		if shared.dir, shared.err = os.MkdirTemp("", "tegata-images-test-"); shared.err == nil {
			shared.err = run(testSettings(shared.dir), io.Discard)
		}
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.dir
}

// eachImage calls test for every command and architecture.
func eachImage(t *testing.T, test func(t *testing.T, command, arch string)) {
	archives(t)
	for _, command := range commands {
		for _, arch := range architectures {
			t.Run(command+" "+arch, func(t *testing.T) { test(t, command, arch) })
		}
	}
}

// unpack writes a tar archive's files below a new directory.
func unpack(t *testing.T, archive io.Reader) string {
	t.Helper()
	dir := t.TempDir()
	for reader := tar.NewReader(archive); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return dir
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, filepath.FromSlash(header.Name)) //nolint:gosec // we have made the archive
		if header.Typeflag == tar.TypeDir {
			err = os.Mkdir(path, header.FileInfo().Mode())
		} else {
			err = writeFile(path, reader, header.FileInfo().Mode())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func writeFile(path string, content io.Reader, mode os.FileMode) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	return errors.Join(err, f.Close())
}

// openLayout reads an archive as an OCI layout.
func openLayout(t *testing.T, name string) layout.Path {
	t.Helper()
	f, err := os.Open(filepath.Join(archives(t), name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // it is only read
	path, err := layout.FromPath(unpack(t, f))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// only is the one thing that a layout names.
func only(t *testing.T, path layout.Path) (v1.ImageIndex, v1.Descriptor) {
	t.Helper()
	index, err := path.ImageIndex()
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(manifest.Manifests) != 1 {
		t.Fatalf("the layout names %d things, want one", len(manifest.Manifests))
	}
	return index, manifest.Manifests[0]
}

// openImage reads the image of one architecture from its own archive.
func openImage(t *testing.T, command, arch string) v1.Image {
	t.Helper()
	index, descriptor := only(t, openLayout(t, "tegata-"+command+"-"+arch+".tar"))
	image, err := index.Image(descriptor.Digest)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

func TestParse(t *testing.T) {
	for name, tc := range map[string]struct {
		args    []string
		wantErr string
	}{
		"as make does":           {[]string{"--version", "v1", "--root", "x", "--created", "7"}, ""},
		"one command":            {[]string{"--version", "v1", "sidecar"}, ""},
		"no version":             {[]string{}, `--version "" cannot be the tag of an image`},
		"a version with a slash": {[]string{"--version", "feature/x"}, "cannot be the tag"},
		"a version with a blank": {[]string{"--version=a -X b"}, "cannot be the tag"},
		"a long version":         {[]string{"--version", strings.Repeat("a", 129)}, "cannot be the tag"},
		"another processor":      {[]string{"--version", "v1", "--arch", "amd64,s390x"}, `--arch "s390x": there are amd64 and arm64`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parse(tc.args)
			if tc.wantErr == "" != (err == nil) || err != nil && !strings.Contains(err.Error(), tc.wantErr) {
				t.Errorf("%v, want %q", err, tc.wantErr)
			}
		})
	}
}

// TestEveryCommandHasAnImage but for those that people run on their own machines.
func TestEveryCommandHasAnImage(t *testing.T) {
	entries, err := os.ReadDir(repository + "/cmd")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{}
	for _, entry := range entries {
		if entry.IsDir() && !strings.HasPrefix(entry.Name(), "kubectl-") {
			want[entry.Name()] = true
		}
	}
	got := map[string]bool{}
	for _, command := range commands {
		got[command] = true
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the list of commands, in main.go (-want +got):\n%s", diff)
	}
}
