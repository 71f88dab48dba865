//go:build !linux

package postgres

import "syscall"

// boundSilence leaves it to the system when a connection to a host that has gone ends.
func boundSilence(string, string, syscall.RawConn) error { return nil }
