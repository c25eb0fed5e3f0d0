package testenv

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// BinDir is the directory with the programs of the control plane: KUBEBUILDER_ASSETS, or else what
// hack/controlplane/build.sh has built. It builds nothing.
func BinDir() (string, error) {
	if dir := os.Getenv("KUBEBUILDER_ASSETS"); dir != "" {
		return dir, checkPrograms(dir)
	}
	root, err := repositoryRoot()
	if err != nil {
		return "", err
	}
	out, err := exec.Command(filepath.Join(root, "hack", "controlplane", "build.sh"), "--where").Output()
	if err != nil {
		return "", errors.New("the control plane is not built and KUBEBUILDER_ASSETS is not set: run `make test`, which builds it")
	}
	return strings.TrimSpace(string(out)), nil
}

func checkPrograms(dir string) error {
	for _, name := range []string{"etcd", "kube-apiserver", "kubectl"} {
		if _, err := exec.LookPath(filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("KUBEBUILDER_ASSETS: %w", err)
		}
	}
	return nil
}

// repositoryRoot is the directory of the go.mod above the working directory: a test runs in the
// directory of its package.
func repositoryRoot() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("no go.mod above %s", start)
		}
	}
}
