//go:build unix

package main

import (
	"log/slog"
	"syscall"

	"waybill/internal/config"
)

// otherFiles is what a node needs beside its sessions: the store's files, and connections to DNS servers and next hops.
const otherFiles = 2000

// checkFileLimit raises the limit of open files to the hard one, and warns if that is too low for the sessions that the
// configuration allows: then connections wait unaccepted, where they should get a 421.
func checkFileLimit(log *slog.Logger, l config.Limits) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		log.Warn("the limit of open files cannot be read", "error", err)
		return
	}
	if limit.Cur < limit.Max {
		raised := syscall.Rlimit{Cur: limit.Max, Max: limit.Max}
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &raised); err == nil {
			limit = raised
		}
	}
	if needed := uint64(l.Sessions) + otherFiles; uint64(limit.Cur) < needed {
		log.Warn("the limit of open files is too low for limits.sessions: raise it (ulimit -Hn, or LimitNOFILE= of systemd) or allow fewer",
			"limit", limit.Cur, "needed", needed, "sessions", l.Sessions)
	}
}
