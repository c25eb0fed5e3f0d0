package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/tegata-dev/tegata/internal/testenv"
)

// tools are the programs and manifests that the demo needs.
type tools struct {
	root             string // of the repository; what is shown is run there
	assets           string // etcd, kube-apiserver, kube-controller-manager, kubectl
	manager, sidecar string
	history          string
	device           string // is the phone
	plugin           string // is kubectl relay
}

// findTools says what is missing before anything is started.
func findTools() (tools, error) {
	if _, err := exec.LookPath("curl"); err != nil {
		return tools{}, errors.New("curl is missing, which logs in as a device would: install it and run `make demo` again")
	}
	root, err := os.Getwd()
	if err != nil {
		return tools{}, fmt.Errorf("find the repository: %w", err)
	}
	if _, err := os.Stat(filepath.Join(root, "config", "samples")); err != nil {
		return tools{}, fmt.Errorf("%w: run `make demo` in the root of the repository", err)
	}
	assets, err := findAssets()
	if err != nil {
		return tools{}, err
	}
	self, err := os.Executable()
	if err != nil {
		return tools{}, err
	}
	found := tools{
		root: root, assets: assets,
		manager: filepath.Join(filepath.Dir(self), "manager"), sidecar: filepath.Join(filepath.Dir(self), "sidecar"),
		history: filepath.Join(filepath.Dir(self), "history"),
		device:  filepath.Join(filepath.Dir(self), "device"),
		plugin:  filepath.Join(filepath.Dir(self), "kubectl-relay"),
	}
	for _, program := range []string{found.manager, found.sidecar, found.history, found.device, found.plugin} {
		if _, err := exec.LookPath(program); err != nil {
			return tools{}, fmt.Errorf("%w: run `make demo`, which builds it", err)
		}
	}
	return found, nil
}

// findAssets wants the controller manager too, which published test binaries lack.
func findAssets() (string, error) {
	dir, err := testenv.BinDir()
	if err != nil {
		return "", err
	}
	if _, err := exec.LookPath(filepath.Join(dir, "kube-controller-manager")); err != nil {
		return "", fmt.Errorf("%w: unset KUBEBUILDER_ASSETS and run `make demo`, which builds it", err)
	}
	return filepath.Abs(dir)
}
