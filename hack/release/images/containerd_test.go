package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/images/archive"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/platforms"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// TestContainerdImports each archive as `ctr images import` and `kind load image-archive` do, by containerd's own
// code: it finds the name, and an image for each architecture that the archive is of.
func TestContainerdImports(t *testing.T) {
	archives(t)
	for _, command := range commands {
		name := "tegata-" + command
		for file, want := range map[string][]string{
			name + ".tar": {"linux/amd64", "linux/arm64"}, name + "-amd64.tar": {"linux/amd64"}, name + "-arm64.tar": {"linux/arm64"},
		} {
			t.Run(file, func(t *testing.T) {
				store, imported := importArchive(t, file)
				wantName := "ghcr.io/tegata-dev/" + name + ":v1.2.3"
				if got := imported.Annotations[images.AnnotationImageName]; got != wantName {
					t.Errorf("it is called %q, want %q", got, wantName)
				}
				found, err := images.Platforms(t.Context(), store, imported)
				if err != nil {
					t.Fatal(err)
				}
				var got []string
				for _, platform := range found {
					got = append(got, platforms.Format(platform))
				}
				if diff := cmp.Diff(want, got, cmpopts.SortSlices(strings.Compare)); diff != "" {
					t.Errorf("platforms (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// importArchive is the one image that containerd finds in an archive, and where it has put what belongs to it.
func importArchive(t *testing.T, file string) (content.Store, ocispec.Descriptor) {
	t.Helper()
	store, err := local.NewStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(filepath.Join(archives(t), file))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // it is only read
	found, err := archive.ImportIndex(t.Context(), store, f)
	if err != nil {
		t.Fatal(err)
	}
	text, err := content.ReadBlob(t.Context(), store, found)
	if err != nil {
		t.Fatal(err)
	}
	index := ocispec.Index{}
	if err := json.Unmarshal(text, &index); err != nil {
		t.Fatal(err)
	}
	if len(index.Manifests) != 1 {
		t.Fatalf("%d images, want one", len(index.Manifests))
	}
	return store, index.Manifests[0]
}
