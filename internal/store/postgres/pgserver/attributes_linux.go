package pgserver

import "syscall"

// attributes run a program as somebody, end it with this process, and keep a terminal's Ctrl-C from it, which is for this one.
func attributes(as *syscall.Credential) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: as, Setpgid: true, Pdeathsig: syscall.SIGQUIT}
}
