package testenv

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// programs are what tests of this binary have built, in a directory that Run removes.
var programs struct {
	mu    sync.Mutex
	dir   string
	built map[string]error
}

// Program is the path of a command of cmd/, as it ships. The first call builds it.
func Program(t testing.TB, name string) string {
	t.Helper()
	programs.mu.Lock()
	defer programs.mu.Unlock()
	if programs.dir == "" {
		dir, err := os.MkdirTemp("", "tegata-programs-")
		if err != nil {
			t.Fatal(err)
		}
		programs.dir, programs.built = dir, map[string]error{}
	}
	path := filepath.Join(programs.dir, name)
	err, built := programs.built[name]
	if !built {
		err = buildProgram(path, name)
		programs.built[name] = err
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func buildProgram(path, name string) error {
	root, err := repositoryRoot()
	if err != nil {
		return err
	}
	build := exec.Command("go", "build", "-o", path, "./cmd/"+name)
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", name, err, out)
	}
	return nil
}

func removePrograms() {
	programs.mu.Lock()
	defer programs.mu.Unlock()
	if programs.dir == "" {
		return
	}
	if err := os.RemoveAll(programs.dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	programs.dir = ""
}

// Start starts a process that ends with the test, and says where its log is when the test fails.
func (e *Env) Start(t testing.TB, command Command) *Process {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	process, err := e.ControlPlane.StartProcess(ctx, command)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log of %s: %s", command.Name, process.LogPath())
		}
		_ = process.Kill()
	})
	return process
}

// Kubeconfig is a file by which a process of a test is that service account, with what it is permitted by roles.
func (e *Env) Kubeconfig(t testing.TB, namespace, serviceAccount string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := WriteKubeconfig(path, e.ServiceAccountConfig(t, namespace, serviceAccount)); err != nil {
		t.Fatal(err)
	}
	return path
}

// Answers is nil once a URL is answered with 200: a Command's Ready.
func Answers(url string) func(context.Context) error {
	return func(ctx context.Context) error {
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
			return fmt.Errorf("%s: %s", url, response.Status)
		}
		return nil
	}
}
