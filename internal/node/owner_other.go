//go:build !unix

package node

import (
	"io/fs"
	"os"
)

// ownerOf is of no account here.
func ownerOf(fs.FileInfo) (uid, gid int) { return os.Geteuid(), os.Getegid() }
