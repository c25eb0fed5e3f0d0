package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// packChart writes the chart of the version as one file, as `helm package` would, but the same to the byte each time.
func packChart(s *settings) (string, error) {
	version := chartVersion(s.version)
	var content bytes.Buffer
	compressed := gzip.NewWriter(&content) // it bears no name and no time
	archive := tar.NewWriter(compressed)
	source := os.DirFS(filepath.Join(s.root, "config", "chart"))
	err := fs.WalkDir(source, ".", func(name string, entry fs.DirEntry, err error) error { // in the order of names
		if err != nil || entry.IsDir() || strings.HasPrefix(path.Base(name), ".") {
			return err
		}
		text, err := fs.ReadFile(source, name)
		if err != nil {
			return err
		}
		return pack(archive, "tegata/"+name, released(s, name, version, text), s.created)
	})
	if err != nil {
		return "", err
	}
	if err := archive.Close(); err != nil {
		return "", err
	}
	if err := compressed.Close(); err != nil {
		return "", err
	}
	file := filepath.Join(s.out, "tegata-"+version+".tgz")
	return file, os.WriteFile(file, content.Bytes(), 0o644) //nolint:gosec // it is published
}

func pack(archive *tar.Writer, name string, content []byte, created time.Time) error {
	header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(content)), ModTime: created, Format: tar.FormatUSTAR}
	if err := archive.WriteHeader(header); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	_, err := archive.Write(content)
	return err
}

var (
	versionLine    = regexp.MustCompile(`(?m)^version: .*$`)
	appVersionLine = regexp.MustCompile(`(?m)^appVersion: .*$`)
	prefixLine     = regexp.MustCompile(`(?m)^ {2}prefix: .*$`)
	comment        = regexp.MustCompile(`(?m)^#.*\n`)
)

// released is a file of the chart with what a release says in it.
func released(s *settings, name, version string, text []byte) []byte {
	switch name {
	case "Chart.yaml":
		text = comment.ReplaceAll(text, nil) // it speaks of the file in the repository
		text = versionLine.ReplaceAllLiteral(text, []byte("version: "+version))
		return appVersionLine.ReplaceAllLiteral(text, fmt.Appendf(nil, "appVersion: %q", s.version))
	case "values.yaml":
		return prefixLine.ReplaceAllLiteral(text, []byte("  prefix: "+s.prefix))
	default:
		return text
	}
}

// semantic is a version as Helm wants one, after the v that our tags begin with.
var semantic = regexp.MustCompile(`^v?((?:0|[1-9]\d*)\.(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)(?:-[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?)$`)

// chartVersion is the version of the chart: that of the release, or, of what is none, one that is older than all.
func chartVersion(version string) string {
	if match := semantic.FindStringSubmatch(version); match != nil {
		return match[1]
	}
	return "0.0.0-version-" + regexp.MustCompile(`[^0-9A-Za-z-]`).ReplaceAllString(version, "-")
}
