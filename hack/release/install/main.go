// Command install renders what installs a version of Tegata: for `kubectl apply`, config/default and its variants as one
// file each, and for Helm, the chart as one archive, with the images of that version. It owns nothing of what is
// installed: that is config/.
//
//	install --root DIR --out DIR --version V --created SECONDS
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// variants are the files and the directories in config/ that they are made of.
var variants = map[string]string{
	"install.yaml":             "default",
	"install-before-1.36.yaml": "before-1.36",
	"history-sqlite.yaml":      "history-sqlite",
	"history-postgres.yaml":    "history-postgres",
}

type settings struct {
	root, out, prefix, version string
	created                    time.Time
}

func main() {
	s := &settings{}
	flags := flag.NewFlagSet("install", flag.ExitOnError)
	flags.StringVar(&s.root, "root", ".", "directory of the repository")
	flags.StringVar(&s.out, "out", "dist", "directory for the files")
	flags.StringVar(&s.prefix, "prefix", "ghcr.io/tegata-dev/tegata-", "beginning of the images' names")
	flags.StringVar(&s.version, "version", "", "version, which is the images' tag")
	created := flags.Int64("created", 0, "time of the commit in seconds since 1970, which files in the chart get")
	_ = flags.Parse(os.Args[1:]) // it exits on an error
	s.created = time.Unix(*created, 0).UTC()
	if err := run(s, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "install:", err)
		os.Exit(1)
	}
}

func run(s *settings, report io.Writer) error {
	if s.version == "" {
		return errors.New("--version is required")
	}
	if err := os.MkdirAll(s.out, 0o755); err != nil {
		return err
	}
	for name, dir := range variants {
		content, err := render(s, filepath.Join(s.root, "config", dir))
		if err != nil {
			return fmt.Errorf("render config/%s: %w", dir, err)
		}
		path := filepath.Join(s.out, name)
		if err := os.WriteFile(path, content, 0o644); err != nil { //nolint:gosec // it is published
			return err
		}
		fmt.Fprintln(report, path) //nolint:errcheck // the files matter
	}
	path, err := packChart(s)
	if err != nil {
		return fmt.Errorf("pack config/chart: %w", err)
	}
	fmt.Fprintln(report, path) //nolint:errcheck // as above
	return nil
}

// ownImage is a line that names one of our images, as config/ does: with some tag.
var ownImage = regexp.MustCompile(`(?m)^(\s*(?:- )?image: )ghcr\.io/tegata-dev/tegata-([a-z]+):\S+$`)

func render(s *settings, dir string) ([]byte, error) {
	options := krusty.MakeDefaultOptions()
	options.Reorder = krusty.ReorderOptionLegacy // as kubectl does: what others need comes first
	objects, err := krusty.MakeKustomizer(options).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		return nil, err
	}
	text, err := objects.AsYaml()
	return ownImage.ReplaceAll(text, []byte("${1}"+s.prefix+"${2}:"+s.version)), err
}
