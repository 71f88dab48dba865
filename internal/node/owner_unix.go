//go:build unix

package node

import (
	"io/fs"
	"os"
	"syscall"
)

// ownerOf returns whom a file belongs to.
func ownerOf(info fs.FileInfo) (uid, gid int) {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(s.Uid), int(s.Gid)
	}
	return os.Geteuid(), os.Getegid()
}
