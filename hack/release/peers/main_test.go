package main

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// TestImageHasTheLibraries: a program is there with its loader and its C library, and a directory with all that is in
// it; whoever runs it is nobody.
func TestImageHasTheLibraries(t *testing.T) {
	program, err := exec.LookPath("bash")
	if err != nil {
		t.Fatal(err)
	}
	data := t.TempDir()
	if err := os.Mkdir(filepath.Join(data, "below"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(data, "below", "file"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "new", "peers.tar")
	if err := run(out, "registry.example.com/peers:test", []string{program + "=/bin/shell", data + "=/data"}); err != nil {
		t.Fatal(err)
	}
	image, err := tarball.ImageFromPath(out, nil)
	if err != nil {
		t.Fatal(err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if config.Config.User != "65532:65532" || config.OS != "linux" {
		t.Errorf("config %+v", config)
	}
	layers := mutate.Extract(image)
	defer layers.Close()
	files := map[string]int64{}
	for reader := tar.NewReader(layers); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		files[header.Name] = header.Mode
	}
	if files["bin/shell"]&0o555 != 0o555 || files["data/below/file"]&0o444 != 0o444 {
		t.Errorf("not for everybody: %v", files)
	}
	linked, err := exec.Command("ldd", program).Output()
	if err != nil {
		t.Skipf("%s is linked with nothing: %v", program, err)
	}
	for _, path := range regexp.MustCompile(`/\S+\.so\S*`).FindAllString(string(linked), -1) {
		if _, ok := files[path[1:]]; !ok {
			t.Errorf("%s is missing", path)
		}
	}
}

func TestWhatIsWrongIsTold(t *testing.T) {
	out := filepath.Join(t.TempDir(), "peers.tar")
	if err := run(out, "no tag", nil); err == nil {
		t.Error("it has no name")
	}
	if err := run(out, "registry.example.com/peers:test", []string{"/no/such/program"}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v, want a file that is not there", err)
	}
}
