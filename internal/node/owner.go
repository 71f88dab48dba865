package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// StoreOwner returns the user and group that the store below a data directory belongs to; where there is none yet, whom the
// directory belongs to. Somebody else, root above all, must not open the store: it would leave files there that its
// owner cannot open.
func StoreOwner(data string) (uid, gid int, err error) {
	info, err := os.Stat(filepath.Join(data, backupStore))
	if err != nil {
		info, err = os.Stat(data)
	}
	if err != nil {
		return 0, 0, err
	}
	uid, gid = ownerOf(info)
	return uid, gid, nil
}

// giveToOwner gives files, and what is in them if they are directories, to the owner of the data directory if root has made
// them: the server runs as that user.
func giveToOwner(data string, names ...string) error {
	info, err := os.Stat(data)
	if err != nil {
		return err
	}
	uid, gid := ownerOf(info)
	if os.Geteuid() != 0 || uid == 0 {
		return nil
	}
	for _, name := range names {
		err = errors.Join(err, filepath.WalkDir(name, func(file string, _ fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return os.Lchown(file, uid, gid)
		}))
	}
	if err != nil {
		return fmt.Errorf("give what was restored to the owner of %s: %w", data, err)
	}
	return nil
}
