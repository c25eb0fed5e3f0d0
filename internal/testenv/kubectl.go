package testenv

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/client-go/rest"
)

// Kubectl runs kubectl as the administrator, with stdin as its input, and returns what it prints. The
// error is kubectl's exit status.
func (e *Env) Kubectl(t testing.TB, stdin string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	return e.kubectl(e.kubeconfig(), stdin, args)
}

// KubectlAs runs kubectl with the identity of config.
func (e *Env) KubectlAs(t testing.TB, config *rest.Config, stdin string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	if err := WriteKubeconfig(kubeconfig, config); err != nil {
		t.Fatal(err)
	}
	return e.kubectl(kubeconfig, stdin, args)
}

func (e *Env) kubectl(kubeconfig, stdin string, args []string) (stdout, stderr string, err error) {
	// Not the test's own context: that is over when its cleanups run.
	ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(e.binDir, "kubectl"), args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig, "KUBECACHEDIR="+e.kubectlCache())
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}
