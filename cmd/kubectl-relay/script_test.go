package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/tegata-dev/tegata/internal/testenv"
)

const patience = time.Minute

// TestScripts plays each verb as a person types it, through the real kubectl, against a real API server with a
// manager beside it.
func TestScripts(t *testing.T) {
	env := testenv.Shared(t)
	startManager(t, env)
	play(t, env, "script")
}

// TestHistoryScripts plays what needs the access history, which stands behind the API server of this test alone.
func TestHistoryScripts(t *testing.T) {
	env := testenv.New(t)
	startManager(t, env)
	startHistory(t, env)
	play(t, env, "history")
}

// play runs the scripts of a directory, each in a namespace of its own, as the cluster's administrator.
func play(t *testing.T, env *testenv.Env, dir string) {
	t.Helper()
	binDir, err := testenv.BinDir()
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", dir), RequireExplicitExec: true, RequireUniqueNames: true,
		UpdateScripts: os.Getenv("UPDATE_SCRIPTS") != "",
		Setup: func(script *testscript.Env) error {
			namespace := env.Namespace(t)
			for name, value := range map[string]string{
				"NS": namespace, "KUBECONFIG": filepath.Join(script.WorkDir, "kubeconfig"),
				"PATH":         script.Getenv("PATH") + string(os.PathListSeparator) + binDir,
				"KUBECACHEDIR": filepath.Join(script.WorkDir, ".kubecache"), "TZ": "Asia/Tokyo", "LC_ALL": "C.UTF-8", "NO_COLOR": "",
			} {
				script.Setenv(name, value)
			}
			return writeKubeconfig(script.Getenv("KUBECONFIG"), env.Config, namespace)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":    exits,
			"becomes":  becomes(env),
			"waitfor":  waitFor,
			"patch":    patchStatus,
			"attempt":  attempt(env),
			"waitgrep": waitGrep,
			"capture":  capture,
		},
	})
}

// writeKubeconfig is testenv's, with a namespace as kubectl config set-context leaves it.
func writeKubeconfig(path string, config *rest.Config, namespace string) error {
	if err := testenv.WriteKubeconfig(path, config); err != nil {
		return err
	}
	file, err := clientcmd.LoadFromFile(path)
	if err != nil {
		return err
	}
	file.Contexts[file.CurrentContext].Namespace = namespace
	return clientcmd.WriteToFile(*file, path)
}

// exits CODE PROGRAM ARGS: the program must end with the exit code.
func exits(script *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		script.Fatalf("usage: exits CODE PROGRAM [ARGS]")
	}
	want, err := strconv.Atoi(args[0])
	script.Check(err)
	got := 0
	var exit *exec.ExitError
	switch err := script.Exec(args[1], args[2:]...); {
	case errors.As(err, &exit):
		got = exit.ExitCode()
	case err != nil:
		script.Fatalf("%v", err)
	}
	if got != want {
		script.Fatalf("exit code %d, want %d", got, want)
	}
}

// becomes NAME [ROLE]: from here on, the kubeconfig is that of a person, who has a Role of the namespace or none.
func becomes(env *testenv.Env) func(*testscript.TestScript, bool, []string) {
	return func(script *testscript.TestScript, _ bool, args []string) {
		if len(args) > 1 {
			script.Check(script.Exec("kubectl", "create", "rolebinding", args[0], "--user="+args[0], "--role="+args[1]))
		}
		config, err := env.ControlPlane.UserConfig(args[0])
		script.Check(err)
		path := script.MkAbs("kubeconfig-" + args[0])
		script.Check(writeKubeconfig(path, config, script.Getenv("NS")))
		script.Setenv("KUBECONFIG", path)
	}
}

// waitfor ARGS: kubectl wait, with patience.
func waitFor(script *testscript.TestScript, _ bool, args []string) {
	script.Check(script.Exec("kubectl", append([]string{"wait", "--timeout=" + patience.String()}, args...)...))
}

// patch KIND/NAME FILE: merges a file of YAML into the status, which the sidecar would write.
func patchStatus(script *testscript.TestScript, _ bool, args []string) {
	script.Check(script.Exec("kubectl", "patch", args[0], "--subresource=status", "--type=merge", "--patch-file="+args[1]))
}

// capture NAME: what the last program printed becomes a variable.
func capture(script *testscript.TestScript, _ bool, args []string) {
	script.Setenv(args[0], strings.TrimSpace(script.ReadFile("stdout")))
}

// startManager starts a manager for every namespace, as a cluster has it.
func startManager(t *testing.T, env *testenv.Env) {
	t.Helper()
	probes := env.FreeAddress(t)
	env.Start(t, testenv.Command{
		Name: "manager", Path: testenv.Program(t, "manager"),
		Args: []string{
			"--kubeconfig=" + env.Kubeconfig(t, "tegata-system", "tegata-manager"), "--leader-election-namespace=tegata-system",
			"--metrics-bind-address=0", "--health-probe-bind-address=" + probes,
		},
		Ready: testenv.Answers("http://" + probes + "/readyz"),
	})
}
