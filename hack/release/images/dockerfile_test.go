package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// TestDockerfile reads the Dockerfile as the engine does. Whether what it says builds is not tested here.
func TestDockerfile(t *testing.T) {
	f, err := os.Open(filepath.Join(repository, "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // it is only read
	parsed, err := parser.Parse(f)
	if err != nil {
		t.Fatal(err)
	}
	if len(parsed.Warnings) > 0 {
		t.Errorf("warnings: %v", parsed.Warnings)
	}
	stages, _, err := instructions.Parse(parsed.AST, nil)
	if err != nil {
		t.Fatal(err)
	}
	copied := map[string]bool{}
	for _, command := range stages[0].Commands {
		if c, ok := command.(*instructions.CopyCommand); ok {
			for _, path := range c.SourcePaths {
				copied[path] = true
				if _, err := os.Stat(filepath.Join(repository, path)); err != nil {
					t.Error(err)
				}
			}
		}
	}
	if want := map[string]bool{"go.mod": true, "go.sum": true, "api": true, "controllers": true, "internal": true, "cmd": true}; !cmp.Equal(want, copied) {
		t.Errorf("it copies %v, want what a build needs: %v", copied, want)
	}
	var user string
	var entrypoint []string
	for _, command := range stages[len(stages)-1].Commands {
		switch c := command.(type) {
		case *instructions.UserCommand:
			user = c.User
		case *instructions.EntrypointCommand:
			entrypoint = c.CmdLine
		}
	}
	if user != nonroot+":"+nonroot || !slices.Equal(entrypoint, []string{"/command"}) {
		t.Errorf("it runs %q as %q", entrypoint, user)
	}
}
