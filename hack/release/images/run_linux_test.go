package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// TestRunsInItsImage runs the program with nothing but what is in the image, as who runs it in a pod.
func TestRunsInItsImage(t *testing.T) {
	if !slices.Contains(architectures, runtime.GOARCH) {
		t.Skipf("there is no image for %s", runtime.GOARCH)
	}
	archives(t)
	for _, command := range commands {
		dir := root(t, command, runtime.GOARCH)
		for name, tc := range map[string]struct {
			args     []string
			wantCode int
			want     string
		}{
			"help":    {[]string{"-h"}, 0, "Usage:"},
			"version": {[]string{"--version"}, 0, "v1.2.3\n"},
			// It logs that there is no cluster, with the time of the zone that TZ names.
			"a time zone": {append([]string{"--kubeconfig=/none"}, required[command]...), 1, "+09:00\""},
		} {
			t.Run(command+" "+name, func(t *testing.T) {
				output, code := runIn(t, dir, command, tc.args...)
				if code != tc.wantCode || !strings.Contains(output, tc.want) {
					t.Errorf("exit %d, want %d and %q in:\n%s", code, tc.wantCode, tc.want, output)
				}
			})
		}
	}
}

// required are the flags without which a command does not get as far as to log.
var required = map[string][]string{
	"sidecar": {"--server=asp1", "--namespace=relays", "--identity=test"},
	"history": {"--sqlite-dir=/tmp", "--tls-cert-file=/none", "--tls-private-key-file=/none"},
}

// runIn runs /command in a directory as its root: as nonroot where the test may become that, and else in a user
// namespace of its own.
func runIn(t *testing.T, dir, command string, args ...string) (string, int) {
	t.Helper()
	if err := os.Chmod(filepath.Dir(dir), 0o711); err != nil { //nolint:gosec // nonroot has to get there
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "/"+command, args...)
	cmd.Dir, cmd.Env = "/", []string{"TZ=Asia/Tokyo"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: dir, Credential: &syscall.Credential{Uid: 65532, Gid: 65532}}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Credential = nil
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
	}
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	err := cmd.Run()
	if errors.Is(err, syscall.EPERM) && os.Getenv("CI") != "true" {
		t.Skipf("NOT TESTED: chroot needs root, or user namespaces: %v", err)
	}
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return output.String(), cmd.ProcessState.ExitCode()
}
