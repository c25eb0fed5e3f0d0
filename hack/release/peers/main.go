// Command peers makes an image of programs of this machine, for the end-to-end tests: each with the shared libraries
// that it is linked with, as a docker-archive. It owns nothing that is published; the project's own images are made by
// hack/release/images. It must fetch nothing.
//
//	peers --out FILE --name NAME:TAG SOURCE[=TARGET]...
package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

func main() {
	out := flag.String("out", "", "file for the archive")
	called := flag.String("name", "", "name and tag of the image")
	flag.Parse()
	if err := run(*out, *called, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

func run(out, called string, arguments []string) error {
	reference, err := name.NewTag(called, name.StrictValidation)
	if err != nil {
		return err
	}
	t := tree{}
	for _, argument := range arguments {
		source, target, ok := strings.Cut(argument, "=")
		if !ok {
			target = source
		}
		if err := t.add(source, target); err != nil {
			return fmt.Errorf("add %s: %w", source, err)
		}
	}
	image, err := t.image()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return err
	}
	return tarball.WriteToFile(out, reference, image)
}

// tree is what the image has, by its path there: where it comes from.
type tree map[string]string

// add takes a program with its libraries, or all that is in a directory.
func (t tree) add(source, target string) error {
	return filepath.WalkDir(source, func(found string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		below, err := filepath.Rel(source, found)
		if err != nil {
			return err
		}
		t[path.Join(target, filepath.ToSlash(below))] = found
		return t.addLibraries(found)
	})
}

// library is a line of ldd: where a library, or the loader itself, was found.
var library = regexp.MustCompile(`(?m)(?:=> |^\s*)(/\S+) \(0x`)

// addLibraries takes what the loader would load for a program. They are put where the loader looks for them here.
func (t tree) addLibraries(program string) error {
	info, err := os.Stat(program)
	if err != nil || info.Mode()&0o111 == 0 {
		return err
	}
	out, err := exec.Command("ldd", program).CombinedOutput()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && bytes.Contains(out, []byte("not a dynamic executable")) {
		return nil
	}
	if err != nil || bytes.Contains(out, []byte("not found")) {
		return fmt.Errorf("ldd %s: %w\n%s", program, err, out)
	}
	for _, match := range library.FindAllSubmatch(out, -1) {
		t[string(match[1])] = string(match[1])
	}
	return nil
}

// image has all of it in one layer, and runs as nobody.
func (t tree) image() (v1.Image, error) {
	content, err := t.archive()
	if err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil })
	if err != nil {
		return nil, err
	}
	image, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return nil, err
	}
	config := v1.Config{User: "65532:65532", WorkingDir: "/"}
	file, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Config = "linux", runtime.GOARCH, config
	return mutate.ConfigFile(image, file)
}

func (t tree) archive() ([]byte, error) {
	var buffer bytes.Buffer
	w := tar.NewWriter(&buffer)
	known := map[string]bool{".": true}
	for target, source := range t {
		target = strings.TrimPrefix(target, "/")
		if err := parents(w, known, path.Dir(target)); err != nil {
			return nil, err
		}
		content, err := os.ReadFile(source)
		if err != nil {
			return nil, err
		}
		info, err := os.Stat(source)
		if err != nil {
			return nil, err
		}
		header := &tar.Header{Typeflag: tar.TypeReg, Name: target, Mode: int64(info.Mode().Perm() | 0o444), Size: int64(len(content))}
		if err := w.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := w.Write(content); err != nil {
			return nil, err
		}
	}
	return buffer.Bytes(), w.Close()
}

// parents writes the directories above, the highest first.
func parents(w *tar.Writer, known map[string]bool, dir string) error {
	if known[dir] {
		return nil
	}
	if err := parents(w, known, path.Dir(dir)); err != nil {
		return err
	}
	known[dir] = true
	return w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755})
}
