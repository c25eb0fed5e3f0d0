package main

import (
	"archive/tar"
	"bytes"
	"io"
	"path"
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// file is a file of an image; a directory when it has no content.
type file struct {
	path    string // without a leading slash, as in a tar archive
	mode    int64
	content []byte
}

// newLayer makes a layer of files, which belong to root and bear the same time: nobody who runs in the container
// may change them. The directories above them are made.
func newLayer(created time.Time, files ...file) (v1.Layer, error) {
	archive, err := tarOf(created, withParents(files))
	if err != nil {
		return nil, err
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(archive)), nil }
	return tarball.LayerFromOpener(open, tarball.WithMediaType(types.OCILayer), tarball.WithCompressedCaching)
}

// withParents adds the directories that are missing, and sorts: every directory comes before what is in it.
func withParents(files []file) []file {
	known := map[string]bool{".": true}
	for _, f := range files {
		known[f.path] = true
	}
	all := slices.Clone(files)
	for _, f := range files {
		for dir := path.Dir(f.path); !known[dir]; dir = path.Dir(dir) {
			known[dir] = true
			all = append(all, file{path: dir, mode: 0o755})
		}
	}
	slices.SortFunc(all, func(a, b file) int { return bytes.Compare([]byte(a.path), []byte(b.path)) })
	return all
}

func tarOf(created time.Time, files []file) ([]byte, error) {
	var buffer bytes.Buffer
	w := tar.NewWriter(&buffer)
	for _, f := range files {
		header := &tar.Header{
			Typeflag: tar.TypeReg, Name: f.path, Mode: f.mode, Size: int64(len(f.content)),
			ModTime: created, Format: tar.FormatUSTAR,
		}
		if f.content == nil {
			header.Typeflag, header.Name = tar.TypeDir, f.path+"/"
		}
		if err := w.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.content); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return buffer.Bytes(), err
}
