package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// TestDemo plays the demo as `make demo` does, ends it in every way, and looks for what it left.
func TestDemo(t *testing.T) {
	programs := buildPrograms(t)
	for name, tc := range map[string]struct {
		keep       string
		signal     syscall.Signal // sent when the output has the text
		at         string
		want       int
		wantOutput string
	}{
		"to its end":              {want: 0, wantOutput: "Everything was as it should be."},
		"Ctrl-C in the middle":    {signal: syscall.SIGINT, at: "taro logs in from", want: 130, wantOutput: "interrupt: ending everything"},
		"SIGTERM while it starts": {keep: "1", signal: syscall.SIGTERM, at: "etcd is ready", want: 143, wantOutput: "terminated: ending everything"},
		"hung up while installed": {signal: syscall.SIGHUP, at: "apply -k config/rbac", want: 129, wantOutput: "hangup: ending everything"},
		"without a pipe's reader": {at: "etcd is ready", signal: syscall.SIGPIPE, want: 1, wantOutput: "nobody reads"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := startDemo(t, programs, "KEEP="+tc.keep)
			if tc.at != "" {
				d.await(tc.at)
				d.noteAddresses()
				if err := d.cmd.Process.Signal(tc.signal); err != nil {
					t.Fatal(err)
				}
			}
			d.wantEnd(tc.want, tc.wantOutput)
			d.wantNothingLeft()
		})
	}
}

// TestKeptDemoCanBeUsed pastes what the demo prints into a shell that has no kubectl, until Ctrl-C.
func TestKeptDemoCanBeUsed(t *testing.T) {
	t.Parallel()
	programs, path := buildPrograms(t), "PATH="+pathWithoutKubectl(t)
	d := startDemo(t, programs, "KEEP=1", path)
	d.await("Ctrl-C ends everything")
	d.noteAddresses()

	script := pasted(d.out.String())
	shell := exec.Command("sh", "-ec", script)
	shell.Env = append(os.Environ(), path, "HOME="+t.TempDir(), "no_proxy=127.0.0.1")
	out, err := shell.CombinedOutput()
	if err != nil {
		t.Fatalf("%v of\n%s\nwhich printed\n%s", err, script, out)
	}
	for _, want := range []string{"allowedCIDRs", `"slot":"pc"`, "HTTP 200", "relayuser.tegata.dev/taro patched"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("what is to be tried does not print %q:\n%s", want, out)
		}
	}
	wantMetrics(t, d.out.String())
	if err := d.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	d.wantEnd(0, "interrupt: ending everything")
	d.wantNothingLeft()
}

// wantMetrics looks where a kept demo says that the sidecar's metrics are.
func wantMetrics(t *testing.T, output string) {
	t.Helper()
	url := regexp.MustCompile(`http://\S+/metrics`).FindString(output)
	if url == "" {
		t.Error("it does not say where the metrics are")
		return
	}
	page, err := exec.Command("curl", "-sSf", "--noproxy", "*", url).CombinedOutput()
	if err != nil || !strings.Contains(string(page), "tegata_login_attempts_total") {
		t.Errorf("%s: %v\n%s", url, err, page)
	}
}

// pasted is what a kept demo asks to be pasted: the exports, and the things to try.
func pasted(output string) string {
	_, output, _ = strings.Cut(output, "It is left running")
	var script strings.Builder
	for line := range strings.Lines(output) {
		command, isCommand := strings.CutPrefix(line, "$ ")
		if isCommand || strings.HasPrefix(line, "export ") || strings.HasPrefix(line, "    ") {
			script.WriteString(command)
		}
	}
	return script.String()
}

// pathWithoutKubectl has what else the story uses.
func pathWithoutKubectl(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"sh", "curl", "tee", "sed", "grep", "cksum"} {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestDemoFailsClearly has something missing or broken.
func TestDemoFailsClearly(t *testing.T) {
	for name, tc := range map[string]struct {
		env   func(t *testing.T) string
		crash string
		want  []string
	}{
		"no curl": {
			env:  func(t *testing.T) string { return "PATH=" + t.TempDir() },
			want: []string{"curl is missing", "install it"},
		},
		"no control plane": {
			env:  func(t *testing.T) string { return "KUBEBUILDER_ASSETS=" + t.TempDir() },
			want: []string{"KUBEBUILDER_ASSETS"},
		},
		"the manager does not start": {
			crash: "manager",
			want:  []string{"start manager: exited before it was ready", "something is wrong", "Run `make demo` again"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			programs := buildPrograms(t)
			var env []string
			if tc.crash != "" {
				programs = copyWithCrash(t, programs, tc.crash)
			}
			if tc.env != nil {
				env = append(env, tc.env(t))
			}
			d := startDemo(t, programs, env...)
			for _, want := range append(tc.want, "FAILED") {
				d.wantEnd(1, want)
			}
			d.wantNothingLeft()
		})
	}
}

// copyWithCrash is a directory with the same programs, of which one prints something and fails.
func copyWithCrash(t *testing.T, programs, crash string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"demo", "device", "history", "kubectl-relay", "manager", "sidecar"} {
		if name == crash {
			continue
		}
		if err := os.Link(filepath.Join(programs, name), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, crash), []byte("#!/bin/sh\necho something is wrong\nexit 1\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

var built struct {
	once sync.Once
	dir  string
	err  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if built.dir != "" {
		_ = os.RemoveAll(built.dir)
	}
	os.Exit(code)
}

// buildPrograms is a directory with demo, device, history, manager and sidecar. Without a control plane the test is skipped,
// but in CI nothing is ever skipped.
func buildPrograms(t *testing.T) string {
	t.Helper()
	if _, err := findAssets(); err != nil {
		if os.Getenv("CI") != "true" {
			t.Skip(err)
		}
		t.Fatal(err)
	}
	built.once.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "tegata-demo-test-"); built.err != nil {
			return
		}
		build := exec.Command("go", "build", "-o", built.dir+"/", "./cmd/...", "./hack/demo", "./hack/demo/device")
		build.Dir = filepath.Join("..", "..")
		if out, err := build.CombinedOutput(); err != nil {
			built.err = fmt.Errorf("build the programs: %w\n%s", err, out)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.dir
}
