package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// built is the image of one command for one architecture.
type built struct {
	arch  string
	image v1.Image
	sbom  []byte
}

func buildAll(s *settings, scratch, command string, common v1.Layer) ([]built, error) {
	var all []built
	for _, arch := range s.arches {
		program := filepath.Join(scratch, arch, command)
		if err := compile(s, command, arch, program); err != nil {
			return nil, err
		}
		sbom, err := describe(s, command, program)
		if err != nil {
			return nil, err
		}
		image, err := assemble(s, command, arch, program, sbom, common)
		if err != nil {
			return nil, err
		}
		all = append(all, built{arch: arch, image: image, sbom: sbom})
	}
	return all, nil
}

// compile builds a static program. Whatever could differ between two machines is set: the flags of the person's own
// go env are overridden, the version is not read from the checkout (an unpacked archive has none), and paths are cut.
// The tag leaves out gRPC's pages of traces, which are off anyhow: their templates call methods by name, so that the
// linker would have to keep every method there is, a quarter of each program. Kubernetes' kinds, of which all are in each
// program, are encoded by generated functions: not inlined they are smaller, and none of them is what a program waits for.
func compile(s *settings, command, arch, program string) error {
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-mod=readonly", "-tags=grpcnotrace",
		"-gcflags=k8s.io/api/...=-l", "-ldflags=-s -w -buildid= -X main.version="+s.version, "-o", program, "./cmd/"+command)
	build.Dir = s.root
	build.Env = append(slices.DeleteFunc(os.Environ(), isBuildSetting),
		"CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch, "GOAMD64=v1", "GOARM64=v8.0", "GOWORK=off")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("go build for %s: %w\n%s", arch, err, out)
	}
	return nil
}

// isBuildSetting says whether a variable changes what is built. GOPROXY and the like do not.
func isBuildSetting(variable string) bool {
	name, _, _ := strings.Cut(variable, "=")
	return slices.Contains([]string{"GOFLAGS", "GOEXPERIMENT", "GOFIPS140", "GODEBUG"}, name)
}
