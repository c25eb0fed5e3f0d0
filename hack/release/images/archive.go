package main

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// names tells those who import an archive what its image is called: containerd reads the first, others the second.
func names(reference string) layout.Option {
	return layout.WithAnnotations(map[string]string{
		"io.containerd.image.name":          reference,
		"org.opencontainers.image.ref.name": reference[strings.LastIndex(reference, ":")+1:],
	})
}

// writeImageArchive writes the image of one architecture. The archive is an OCI layout and a docker-archive at once,
// so that ctr, kind, podman, skopeo and any docker take it.
func writeImageArchive(path, reference string, b built) error {
	return writeArchive(path, func(dir layout.Path) error {
		platform := v1.Platform{OS: "linux", Architecture: b.arch}
		if err := dir.AppendImage(b.image, names(reference), layout.WithPlatform(platform)); err != nil {
			return err
		}
		manifest, err := dockerManifest(reference, b.image)
		if err != nil {
			return err
		}
		return dir.WriteFile("manifest.json", manifest, 0o644)
	})
}

// dockerManifest is how a docker-archive says which files are the image.
func dockerManifest(reference string, image v1.Image) ([]byte, error) {
	manifest, err := image.Manifest()
	if err != nil {
		return nil, err
	}
	blob := func(d v1.Descriptor) string { return "blobs/" + d.Digest.Algorithm + "/" + d.Digest.Hex }
	layers := make([]string, len(manifest.Layers))
	for i, layer := range manifest.Layers {
		layers[i] = blob(layer)
	}
	return json.Marshal([]map[string]any{{
		"Config": blob(manifest.Config), "RepoTags": []string{reference}, "Layers": layers,
	}})
}

// writeIndexArchive writes the images of every architecture under one index, as a registry has them.
func writeIndexArchive(path, reference string, annotations map[string]string, all []built) (v1.Hash, error) {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, b := range all {
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add: b.image, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: b.arch}},
		})
	}
	index = mutate.Annotations(index, annotations).(v1.ImageIndex) //nolint:errcheck // it returns what it was given
	err := writeArchive(path, func(dir layout.Path) error { return dir.AppendIndex(index, names(reference)) })
	if err != nil {
		return v1.Hash{}, err
	}
	return index.Digest()
}

// writeArchive packs the OCI layout that fill makes. The archive is written beside its place and renamed, so that
// none is ever half there, and its bytes depend on the images alone.
func writeArchive(path string, fill func(layout.Path) error) error {
	temporary, err := os.MkdirTemp(filepath.Dir(path), ".layout-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temporary) //nolint:errcheck // the archive is whole or absent, which is what matters
	dir, err := layout.Write(filepath.Join(temporary, "layout"), empty.Index)
	if err != nil {
		return err
	}
	if err := fill(dir); err != nil {
		return err
	}
	files, err := readTree(string(dir))
	if err != nil {
		return err
	}
	archive, err := tarOf(time.Unix(0, 0), withParents(files))
	if err != nil {
		return err
	}
	whole := filepath.Join(temporary, "archive")
	if err := os.WriteFile(whole, archive, 0o644); err != nil { //nolint:gosec // it is published
		return err
	}
	return os.Rename(whole, path)
}

func readTree(root string) ([]file, error) {
	var files []file
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		files = append(files, file{path: filepath.ToSlash(name), mode: 0o644, content: content})
		return err
	})
	return files, err
}
