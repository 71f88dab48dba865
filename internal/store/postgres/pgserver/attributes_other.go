//go:build !linux

package pgserver

import "syscall"

// attributes run a program as somebody, and keep a terminal's Ctrl-C from it, which is for this process.
func attributes(as *syscall.Credential) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: as, Setpgid: true}
}
