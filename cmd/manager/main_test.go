package main

import (
	"fmt"
	"os"
	"testing"

	"github.com/tegata-dev/tegata/internal/testenv"
)

// buildDir is where the manager is built for the tests.
var buildDir string

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

func runTests(m *testing.M) int {
	var err error
	if buildDir, err = os.MkdirTemp("", "tegata-manager-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(buildDir) //nolint:errcheck // what is left is in the directory for temporary files
	return testenv.Run(m)
}
