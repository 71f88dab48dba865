package pgtest

import "syscall"

// processAttributes run the server as somebody, and end it with the tests.
func processAttributes(as *syscall.Credential) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: as, Pdeathsig: syscall.SIGQUIT}
}
