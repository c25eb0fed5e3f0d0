//go:build unix && !linux

package testenv

import "syscall"

// ownGroup puts a child into a process group of its own. Only Linux kills it when its parent dies.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
