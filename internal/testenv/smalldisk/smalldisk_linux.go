// Package smalldisk gives a test a real file system of few bytes: it can be filled, and be read-only. It is for tests
// only.
package smalldisk

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

const (
	// mountAt tells a child where its file system is to be.
	mountAt = "TEGATA_TEST_SMALL_DISK"
	// mayNot is what a child that may not mount exits with.
	mayNot = 99
)

// Disk is a file system in memory, empty and writable at first.
type Disk struct {
	t   testing.TB
	Dir string
}

// Run runs the test that calls it in a process of its own, with a disk of so many bytes that only that process sees.
// It is to be called first of all, and not from a parallel test. Where nobody may mount it skips, and fails in CI.
func Run(t *testing.T, bytes int64, test func(t *testing.T, d *Disk)) {
	t.Helper()
	if dir := os.Getenv(mountAt); dir != "" {
		if err := unix.Mount("tegata-test", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0700", bytes)); err != nil {
			fmt.Println(err)
			os.Exit(mayNot)
		}
		test(t, &Disk{t: t, Dir: dir})
		return
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, "-test.run="+pattern(t.Name()), "-test.v")
	cmd.Env = append(os.Environ(), mountAt+"="+t.TempDir())
	cmd.SysProcAttr = attributes()
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit) && exit.ExitCode() != mayNot:
		t.Errorf("in its own process: %v\n%s", err, out)
	case err != nil && os.Getenv("CI") == "true":
		t.Fatalf("may not mount a file system: %v\n%s", err, out)
	case err != nil:
		t.Skipf("NOT TESTED: may not mount a file system (be root, or allow user namespaces): %v\n%s", err, out)
	default:
		t.Logf("in its own process:\n%s", out)
	}
}

// attributes are those of a process that has mounts of its own. Nobody's user needs to be root in a namespace for it.
func attributes() *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if os.Getuid() != 0 {
		a.Cloneflags = syscall.CLONE_NEWUSER
		a.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		a.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	return a
}

// pattern chooses one test, or subtest.
func pattern(name string) string {
	parts := strings.Split(name, "/")
	for i := range parts {
		parts[i] = "^" + parts[i] + "$"
	}
	return strings.Join(parts, "/")
}

// Fill takes all room that there is, but for so many bytes, until free is called.
func (d *Disk) Fill(left int64) (free func()) {
	d.t.Helper()
	path := filepath.Join(d.Dir, "filler-"+strconv.FormatInt(left, 10))
	file, err := os.Create(path)
	if err != nil {
		d.t.Fatal(err)
	}
	chunk := make([]byte, 4096)
	for err == nil {
		_, err = file.Write(chunk)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		d.t.Fatal(err)
	}
	size, err := file.Seek(0, 1)
	if err == nil {
		err = file.Truncate(max(0, size-left))
	}
	if err := errors.Join(err, file.Close()); err != nil {
		d.t.Fatal(err)
	}
	return func() {
		d.t.Helper()
		if err := os.Remove(path); err != nil {
			d.t.Fatal(err)
		}
	}
}

// ReadOnly has nothing written to the disk any more, or again. No file may be open for writing.
func (d *Disk) ReadOnly(readOnly bool) {
	d.t.Helper()
	flags := uintptr(unix.MS_REMOUNT)
	if readOnly {
		flags |= unix.MS_RDONLY
	}
	if err := unix.Mount("tegata-test", d.Dir, "tmpfs", flags, ""); err != nil {
		d.t.Fatal(err)
	}
}
