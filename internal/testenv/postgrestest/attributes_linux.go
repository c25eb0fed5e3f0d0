package postgrestest

import "syscall"

// attributes keep a terminal's Ctrl-C from the server, and have the kernel kill it when this process dies.
func (o *owner) attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: o.credential, Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
