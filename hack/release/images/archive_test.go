package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// TestIndexArchive: the archive of a command holds all architectures under one index, which names the image.
func TestIndexArchive(t *testing.T) {
	for _, command := range commands {
		t.Run(command, func(t *testing.T) {
			outer, descriptor := only(t, openLayout(t, "tegata-"+command+".tar"))
			wantNames := map[string]string{
				"io.containerd.image.name":          "ghcr.io/tegata-dev/tegata-" + command + ":v1.2.3",
				"org.opencontainers.image.ref.name": "v1.2.3",
			}
			if diff := cmp.Diff(wantNames, descriptor.Annotations); diff != "" {
				t.Errorf("names (-want +got):\n%s", diff)
			}
			index, err := outer.ImageIndex(descriptor.Digest)
			if err != nil {
				t.Fatal(err)
			}
			if err := validate.Index(index); err != nil {
				t.Error(err)
			}
			manifest, err := index.IndexManifest()
			if err != nil {
				t.Fatal(err)
			}
			if manifest.Annotations["org.opencontainers.image.revision"] != "0123abc" {
				t.Errorf("annotations of the index: %v", manifest.Annotations)
			}
			got := map[string]v1.Hash{}
			for _, m := range manifest.Manifests {
				got[m.Platform.String()] = m.Digest
			}
			want := map[string]v1.Hash{}
			for _, arch := range architectures {
				if want["linux/"+arch], err = openImage(t, command, arch).Digest(); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("platforms, compared with their own archives (-want +got):\n%s", diff)
			}
		})
	}
}

// TestDockerArchive: the archive of one architecture is read as docker's too, and is the same image then.
func TestDockerArchive(t *testing.T) {
	eachImage(t, func(t *testing.T, command, arch string) {
		path := filepath.Join(archives(t), "tegata-"+command+"-"+arch+".tar")
		docker, err := tarball.ImageFromPath(path, nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := docker.ConfigName()
		if err != nil {
			t.Fatal(err)
		}
		want, err := openImage(t, command, arch).ConfigName()
		if err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("config %s, want %s", got, want)
		}
		if err := validate.Image(docker, validate.Fast); err != nil {
			t.Error(err)
		}
	})
}

// TestReproducible makes an image anew: from a copy of the source elsewhere that is no checkout, with another umask
// of files, and with flags of a person's own. All its bytes are the same.
func TestReproducible(t *testing.T) {
	const command = "sidecar"
	copied := filepath.Join(t.TempDir(), "elsewhere")
	for _, part := range []string{"api", "cmd", "controllers", "internal"} {
		if err := os.CopyFS(filepath.Join(copied, part), os.DirFS(filepath.Join(repository, part))); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"go.mod", "go.sum"} {
		content, err := os.ReadFile(filepath.Join(repository, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(copied, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("GOFLAGS", "-buildvcs=true -ldflags=-X=main.version=other")
	t.Setenv("GOAMD64", "v3")
	t.Setenv("TZ", "Asia/Tokyo")
	again := testSettings(t.TempDir())
	again.root, again.commands = copied, []string{command}
	if out, err := exec.Command("git", "init", "-q", copied).CombinedOutput(); err != nil {
		t.Logf("no checkout: %v %s", err, out) // with one, -buildvcs would stamp the program
	}
	if err := run(again, t.Output()); err != nil {
		t.Fatal(err)
	}
	written, err := os.ReadDir(again.out)
	if err != nil {
		t.Fatal(err)
	}
	if len(written) != 1+2*len(architectures) {
		t.Fatalf("%d files were written: %v", len(written), written)
	}
	for _, entry := range written {
		first, err := os.ReadFile(filepath.Join(archives(t), entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		second, err := os.ReadFile(filepath.Join(again.out, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(first, second) {
			t.Errorf("%s differs", entry.Name())
		}
	}
}
