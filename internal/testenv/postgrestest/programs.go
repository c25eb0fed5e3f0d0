package postgrestest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// ErrMissing says that PostgreSQL is not installed.
var ErrMissing = errors.New("there is no PostgreSQL server; install Debian's postgresql")

// binDir is the directory with initdb and postgres. Debian keeps them off the PATH, a directory a version.
func binDir() (string, error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path), nil
	}
	newest, dir := 0, ""
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb") // the pattern is a good one
	for _, path := range found {
		bin := filepath.Dir(path)
		if version, err := strconv.Atoi(filepath.Base(filepath.Dir(bin))); err == nil && version > newest {
			newest, dir = version, bin
		}
	}
	if dir == "" {
		return "", ErrMissing
	}
	return dir, nil
}

// owner is who the server runs as. It refuses to run as root.
type owner struct{ credential *syscall.Credential }

// serverOwner is this process's user, or the one of Debian's package when that is root.
func serverOwner() (*owner, error) {
	if os.Getuid() != 0 {
		return &owner{}, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("whom to run PostgreSQL as: %w", err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	return &owner{&syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, err
}

// own gives the server a directory.
func (o *owner) own(dir string) error {
	if o.credential == nil {
		return nil
	}
	return os.Chown(dir, int(o.credential.Uid), int(o.credential.Gid))
}

// children are the processes that a process has started: each of the server's connections is one.
func children(pid int) []int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return nil // not Linux, or gone: they end when they notice
	}
	var all []int
	for _, field := range strings.Fields(string(text)) {
		if child, err := strconv.Atoi(field); err == nil {
			all = append(all, child)
		}
	}
	return all
}
