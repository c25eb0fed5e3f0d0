// Command images makes the container images of the named commands as OCI archives, without a container engine
// and without a base image: nothing is fetched but Go modules. It owns what is in an image and how an archive is
// laid out. It must not let anything of the machine into an image: two builds of one commit by one version of
// Go have the same digests.
//
//	images --root DIR --out DIR --version V --revision SHA --created SECONDS [--arch LIST] [COMMAND...]
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// settings are all that an image depends on, besides the source and the version of Go.
type settings struct {
	root     string // of the repository
	out      string
	prefix   string // of the images' names, such as ghcr.io/tegata-dev/tegata-
	version  string
	revision string
	created  time.Time
	arches   []string
	commands []string
}

// commands are those that run in a container: each is a directory in cmd/ and gets an image.
var commands = []string{"manager", "sidecar", "history"}

// architectures are those that releases are made for.
var architectures = []string{"amd64", "arm64"}

// validVersion is what both a tag of an image and the linker's -X take.
var validVersion = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)

func main() {
	s, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err == nil {
		err = run(s, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "images:", err)
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
			os.Stderr.Write(exit.Stderr) //nolint:errcheck // there is nowhere else to tell
		}
		os.Exit(1)
	}
}

func parse(args []string) (*settings, error) {
	s := &settings{}
	flags := flag.NewFlagSet("images", flag.ContinueOnError)
	flags.StringVar(&s.root, "root", ".", "directory of the repository")
	flags.StringVar(&s.out, "out", "dist/images", "directory for the archives")
	flags.StringVar(&s.prefix, "prefix", "ghcr.io/tegata-dev/tegata-", "beginning of the images' names")
	flags.StringVar(&s.version, "version", "", "version, which is the images' tag too")
	flags.StringVar(&s.revision, "revision", "", "commit, for the label")
	created := flags.Int64("created", 0, "time of the commit in seconds since 1970, which every file and image gets")
	arches := flags.String("arch", strings.Join(architectures, ","), "processors to build for")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	s.created, s.arches, s.commands = time.Unix(*created, 0).UTC(), strings.Split(*arches, ","), flags.Args()
	if !validVersion.MatchString(s.version) {
		return nil, fmt.Errorf("--version %q cannot be the tag of an image", s.version)
	}
	for _, arch := range s.arches {
		if !slices.Contains(architectures, arch) {
			return nil, fmt.Errorf("--arch %q: there are %s", arch, strings.Join(architectures, " and "))
		}
	}
	if len(s.commands) == 0 {
		s.commands = commands
	}
	return s, nil
}

func (s *settings) reference(command string) string { return s.prefix + command + ":" + s.version }

// run makes, for each command, DIR/tegata-COMMAND.tar with every architecture, and for each of these
// tegata-COMMAND-ARCH.tar and tegata-COMMAND-ARCH.cdx.json.
func run(s *settings, report io.Writer) error {
	if err := os.MkdirAll(s.out, 0o755); err != nil {
		return err
	}
	scratch, err := os.MkdirTemp("", "tegata-images-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch) //nolint:errcheck // it is in the directory for temporary files
	common, err := commonLayer(s.created)
	if err != nil {
		return err
	}
	fmt.Fprintf(report, "%-40s %-6s %9s %9s  %s\n", "image", "arch", "unpacked", "packed", "digest") //nolint:errcheck // as main's
	for _, command := range s.commands {
		built, err := buildAll(s, scratch, command, common)
		if err != nil {
			return fmt.Errorf("make the image of %s: %w", command, err)
		}
		if err := writeAll(s, command, built, report); err != nil {
			return fmt.Errorf("write the image of %s: %w", command, err)
		}
	}
	return nil
}

func writeAll(s *settings, command string, built []built, report io.Writer) error {
	base := filepath.Join(s.out, "tegata-"+command)
	for _, b := range built {
		name := base + "-" + b.arch
		if err := os.WriteFile(name+".cdx.json", b.sbom, 0o644); err != nil { //nolint:gosec // it is published
			return err
		}
		if err := writeImageArchive(name+".tar", s.reference(command), b); err != nil {
			return err
		}
		if err := b.report(report, s.reference(command)); err != nil {
			return err
		}
	}
	digest, err := writeIndexArchive(base+".tar", s.reference(command), annotations(s, command), built)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(report, "%-40s %-6s %9s %9s  %s\n", s.reference(command), "all", "", "", digest)
	return err
}
