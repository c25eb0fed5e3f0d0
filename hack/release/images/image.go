package main

import (
	"fmt"
	"io"
	"os"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// sbomPath is where scanners look: any *.cdx.json.
func sbomPath(command string) string { return "var/lib/db/sbom/tegata-" + command + ".cdx.json" }

// annotations are the labels of an image, and the annotations of its manifest and its index.
func annotations(s *settings, command string) map[string]string {
	all := map[string]string{
		"org.opencontainers.image.title":         "tegata-" + command,
		"org.opencontainers.image.description":   "The " + command + " of Tegata, an operator for the users of remote-access relays",
		"org.opencontainers.image.version":       s.version,
		"org.opencontainers.image.created":       s.created.Format(time.RFC3339),
		"org.opencontainers.image.source":        "https://github.com/tegata-dev/tegata",
		"org.opencontainers.image.documentation": "https://github.com/tegata-dev/tegata/tree/main/docs",
		"org.opencontainers.image.licenses":      "Apache-2.0",
		"org.opencontainers.image.vendor":        "The Tegata authors",
	}
	if s.revision != "" {
		all["org.opencontainers.image.revision"] = s.revision
	}
	return all
}

// assemble puts the image together. What changes least comes first.
func assemble(s *settings, command, arch, program string, sbom []byte, common v1.Layer) (v1.Image, error) {
	binary, err := os.ReadFile(program)
	if err != nil {
		return nil, err
	}
	own, err := newLayer(s.created,
		file{path: command, mode: 0o755, content: binary},
		file{path: sbomPath(command), mode: 0o644, content: sbom},
	)
	if err != nil {
		return nil, err
	}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	image, err = mutate.ConfigFile(image, configFile(s, command, arch))
	if err != nil {
		return nil, err
	}
	image, err = mutate.Append(image,
		mutate.Addendum{Layer: common, History: history(s, "users and certificate authorities")},
		mutate.Addendum{Layer: own, History: history(s, command+" "+s.version)},
	)
	if err != nil {
		return nil, err
	}
	return mutate.Annotations(image, annotations(s, command)).(v1.Image), nil //nolint:errcheck // it returns what it was given
}

func configFile(s *settings, command, arch string) *v1.ConfigFile {
	return &v1.ConfigFile{
		Architecture: arch,
		OS:           "linux",
		Created:      v1.Time{Time: s.created},
		RootFS:       v1.RootFS{Type: "layers"},
		Config: v1.Config{
			User:       nonroot + ":" + nonroot,
			Entrypoint: []string{"/" + command},
			WorkingDir: "/",
			Labels:     annotations(s, command),
		},
	}
}

func history(s *settings, what string) v1.History {
	return v1.History{Created: v1.Time{Time: s.created}, CreatedBy: "hack/release/images", Comment: what}
}

// report prints a line about the image.
func (b built) report(w io.Writer, reference string) error {
	digest, err := b.image.Digest()
	if err != nil {
		return err
	}
	unpacked, packed, err := sizes(b.image)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%-40s %-6s %6.1f MB %6.1f MB  %s\n", reference, b.arch, float64(unpacked)/1e6, float64(packed)/1e6, digest)
	return err
}

// sizes are the bytes of all layers, on a node and in a registry.
func sizes(image v1.Image) (unpacked, packed int64, err error) {
	layers, err := image.Layers()
	if err != nil {
		return 0, 0, err
	}
	for _, layer := range layers {
		size, err := layer.Size()
		if err != nil {
			return 0, 0, err
		}
		content, err := layer.Uncompressed()
		if err != nil {
			return 0, 0, err
		}
		n, err := io.Copy(io.Discard, content)
		if err != nil {
			return 0, 0, err
		}
		unpacked, packed = unpacked+n, packed+size
	}
	return unpacked, packed, nil
}
