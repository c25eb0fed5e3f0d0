package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
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

// programs are built once.
var programs struct {
	once sync.Once
	dir  string
	err  error
}

func program(t *testing.T, name string) string {
	t.Helper()
	programs.once.Do(func() {
		if programs.dir, programs.err = os.MkdirTemp("", "tegata-kubectl-relay-"); programs.err != nil {
			return
		}
		build := exec.Command("go", "build", "-o", programs.dir+"/", "./cmd/manager", "./cmd/history")
		build.Dir = filepath.Join("..", "..")
		if out, err := build.CombinedOutput(); err != nil {
			programs.err = fmt.Errorf("build the programs: %w\n%s", err, out)
		}
	})
	if programs.err != nil {
		t.Fatal(programs.err)
	}
	return filepath.Join(programs.dir, name)
}

// startManager starts a manager for every namespace, as a cluster has it.
func startManager(t *testing.T, env *testenv.Env) {
	t.Helper()
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	if err := testenv.WriteKubeconfig(kubeconfig, env.ServiceAccountConfig(t, "tegata-system", "tegata-manager")); err != nil {
		t.Fatal(err)
	}
	probes := freeAddress(t)
	path := program(t, "manager") // which may take longer to build than to start
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	process, err := env.ControlPlane.StartProcess(ctx, testenv.Command{
		Name: "manager", Path: path,
		Args: []string{
			"--kubeconfig=" + kubeconfig, "--leader-election-namespace=tegata-system",
			"--metrics-bind-address=0", "--health-probe-bind-address=" + probes,
		},
		Ready: func(ctx context.Context) error { return getOK(ctx, "http://"+probes+"/readyz") },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log of the manager: %s", process.LogPath())
		}
		_ = process.Kill()
	})
}

func getOK(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return errors.New(response.Status)
	}
	return nil
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close() //nolint:errcheck // nothing was written
	return strings.TrimSpace(listener.Addr().String())
}
