package testenv_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tegata-dev/tegata/internal/testenv"
)

// orphanParent makes this test binary start a control plane and wait to be killed.
const orphanParent = "TEGATA_TESTENV_PARENT_OF"

func startContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func binDir(t *testing.T) string {
	t.Helper()
	dir, err := testenv.BinDir()
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	return dir
}

func TestControlPlaneWorksAndLeavesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "control-plane")
	var steps bytes.Buffer
	start := time.Now()
	cp, err := testenv.StartControlPlane(startContext(t), testenv.Options{Dir: dir, BinDir: binDir(t), ControllerManager: true, Log: &steps})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cp.Stop() }) // if the test gives up before
	t.Logf("started in %s:\n%s", time.Since(start).Round(time.Millisecond), steps.String())

	pids := []int{cp.Etcd().PID(), cp.APIServer().PID(), cp.ControllerManager().PID()}
	for _, pid := range pids {
		if !alive(pid) {
			t.Errorf("process %d does not run", pid)
		}
	}
	deletesNamespaces(t, cp.AdminConfig())
	if err := errors.Join(cp.Stop(), cp.Stop()); err != nil {
		t.Error(err)
	}
	for _, pid := range pids {
		if alive(pid) {
			t.Errorf("process %d runs after Stop", pid)
		}
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s after Stop: %v, want it gone", dir, err)
	}
	if _, err := cp.StartProcess(t.Context(), testenv.Command{Name: "late", Path: "/bin/true"}); err == nil {
		t.Error("a process started after Stop")
	}
}

func TestKilledParentLeavesNoOrphans(t *testing.T) {
	binDir(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	parent := exec.Command(self)
	parent.Env = append(os.Environ(), orphanParent+"="+filepath.Join(t.TempDir(), "control-plane"))
	parent.Stderr = os.Stderr
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("read the pids: %v", err)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	var etcd, apiServer int
	if _, err := fmt.Sscan(line, &etcd, &apiServer); err != nil {
		t.Fatalf("read the pids from %q: %v", line, err)
	}
	testenv.Eventually(t, 10*time.Second, func() error {
		if alive(etcd) || alive(apiServer) {
			return fmt.Errorf("etcd (%d) or the API server (%d) outlives its parent", etcd, apiServer)
		}
		return nil
	})
}

// parentOfOrphans is what the child of TestKilledParentLeavesNoOrphans does.
func parentOfOrphans() int {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	dir, err := testenv.BinDir()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	cp, err := testenv.StartControlPlane(ctx, testenv.Options{Dir: os.Getenv(orphanParent), BinDir: dir})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println(cp.Etcd().PID(), cp.APIServer().PID())
	select {}
}

func TestStartFailsClearly(t *testing.T) {
	bin := t.TempDir()
	script := []byte("#!/bin/sh\necho no disk >&2\nexit 3\n")
	if err := os.WriteFile(filepath.Join(bin, "etcd"), script, 0o700); err != nil {
		t.Fatal(err)
	}
	occupied := t.TempDir()
	if err := os.WriteFile(filepath.Join(occupied, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		options testenv.Options
		want    []string
	}{
		"a directory with something in it": {testenv.Options{BinDir: bin, Dir: occupied}, []string{occupied, "not empty"}},
		"no such program":                  {testenv.Options{BinDir: t.TempDir()}, []string{"etcd", "no such file"}},
		"a program that gives up":          {testenv.Options{BinDir: bin}, []string{"exit status 3", "etcd.log", "no disk"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := testenv.StartControlPlane(startContext(t), tc.options)
			if err == nil {
				t.Fatal("started")
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q, want %q in it", err, want)
				}
			}
		})
	}
	if _, err := os.Stat(filepath.Join(occupied, "file")); err != nil {
		t.Errorf("the file that was there before: %v", err)
	}
}

func TestControlPlaneCanBeBroken(t *testing.T) {
	env := testenv.New(t)
	for _, tc := range []struct {
		name string
		test func(*testing.T, *testenv.Env)
	}{
		{"a paused API server does not answer", pausedDoesNotAnswer},
		{"a killed API server refuses connections", killedRefusesConnections},
		{"a restart keeps data and ports", restartKeepsDataAndPorts},
		{"another process can run beside", processBeside},
	} {
		t.Run(tc.name, func(t *testing.T) { tc.test(t, env) })
	}
}

func pausedDoesNotAnswer(t *testing.T, env *testenv.Env) {
	server := env.ControlPlane.APIServer()
	if err := server.Pause(); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := env.Client.List(short, &corev1.NamespaceList{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("list while paused: %v, want it to run into the deadline", err)
	}
	if err := server.Resume(); err != nil {
		t.Fatal(err)
	}
	if err := env.Client.List(t.Context(), &corev1.NamespaceList{}); err != nil {
		t.Errorf("list after resuming: %v", err)
	}
}

func killedRefusesConnections(t *testing.T, env *testenv.Env) {
	server := env.ControlPlane.APIServer()
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := server.Pause(); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("pause after Kill: %v, want %v", err, os.ErrProcessDone)
	}
	if err := env.Client.List(t.Context(), &corev1.NamespaceList{}); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("list after Kill: %v, want the connection refused", err)
	}
	if err := server.Restart(startContext(t)); err != nil {
		t.Fatal(err)
	}
	if err := env.Client.List(t.Context(), &corev1.NamespaceList{}); err != nil {
		t.Errorf("list after Restart: %v", err)
	}
}

func restartKeepsDataAndPorts(t *testing.T, env *testenv.Env) {
	kept := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "kept"}}
	if err := env.Client.Create(t.Context(), kept); err != nil {
		t.Fatal(err)
	}
	for name, process := range map[string]*testenv.Process{
		"the API server": env.ControlPlane.APIServer(),
		"etcd":           env.ControlPlane.Etcd(),
	} {
		before := process.PID()
		if err := process.Kill(); err != nil {
			t.Fatal(err)
		}
		if alive(before) {
			t.Errorf("%s runs after Kill", name)
		}
		if err := process.Restart(startContext(t)); err != nil {
			t.Fatal(err)
		}
		if process.PID() == before {
			t.Errorf("%s has the same pid after Restart", name)
		}
		testenv.Eventually(t, 20*time.Second, func() error {
			return env.Client.Get(t.Context(), client.ObjectKeyFromObject(kept), &corev1.ConfigMap{})
		})
	}
}

func processBeside(t *testing.T, env *testenv.Env) {
	sleeper, err := env.ControlPlane.StartProcess(startContext(t), testenv.Command{Name: "sleeper", Path: "/bin/sleep", Args: []string{"600"}})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(env.Logs(), sleeper.LogPath()) {
		t.Errorf("logs %q, want %q among them", env.Logs(), sleeper.LogPath())
	}
	err = sleeper.Terminate(startContext(t))
	if err == nil || !strings.Contains(err.Error(), "terminated") {
		t.Errorf("terminate: %v, want that it ended by the signal", err)
	}
	<-sleeper.Exited()
}

// deletesNamespaces shows that the controller manager works: a namespace gets its service account, and
// goes away when it is deleted.
func deletesNamespaces(t *testing.T, config *rest.Config) {
	t.Helper()
	c, err := client.New(config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	space := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "short-lived"}}
	if err := c.Create(t.Context(), space); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, 30*time.Second, func() error {
		return c.Get(t.Context(), client.ObjectKey{Namespace: space.Name, Name: "default"}, &corev1.ServiceAccount{})
	})
	if err := c.Delete(t.Context(), space); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, 30*time.Second, func() error {
		err := c.Get(t.Context(), client.ObjectKeyFromObject(space), space)
		if err == nil {
			return fmt.Errorf("the namespace is %s, want it gone", space.Status.Phase)
		}
		return client.IgnoreNotFound(err)
	})
}

// alive tells whether the process runs. One that is dead and waits to be reaped does not.
func alive(pid int) bool {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, fields, _ := bytes.Cut(status, []byte(") "))
	return !bytes.HasPrefix(fields, []byte("Z"))
}
