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
// owner cannot open. It is an error if the store is no directory, as a link is none, and, for all but
// the store's owner, if the two belong to different users: the one could lead the other astray. Root is no exception.
func StoreOwner(data string) (uid, gid int, err error) {
	info, err := statDirectory(data)
	if err != nil {
		return 0, 0, err
	}
	uid, gid = ownerOf(info)
	store := filepath.Join(data, backupStore)
	info, err = os.Lstat(store)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) { // whom it keeps out is not its owner
		return uid, gid, nil
	}
	if err != nil {
		return 0, 0, err
	}
	if !info.IsDir() {
		return 0, 0, fmt.Errorf("%s is no directory (a link to one will not do)", store)
	}
	of, gid := ownerOf(info)
	if of != uid && (of != os.Geteuid() || of == 0) {
		return 0, 0, fmt.Errorf("%s belongs to user %d, but the store in it to user %d: give both to one of them with chown -R", data, uid, of)
	}
	return uid, gid, nil
}

// owner is whom the files in a data directory are to belong to.
type owner struct{ uid, gid int }

// openData opens a data directory, and says whom it belongs to: the server runs as that user.
func openData(name string) (*os.Root, owner, error) {
	if _, err := statDirectory(name); err != nil {
		return nil, owner{}, err
	}
	data, err := os.OpenRoot(name)
	if err != nil {
		return nil, owner{}, err
	}
	info, err := data.Stat(".")
	if err != nil {
		return nil, owner{}, errors.Join(err, data.Close())
	}
	uid, gid := ownerOf(info)
	return data, owner{uid, gid}, nil
}

// give gives an open file, which we have made, to its owner if we are root. By its name it could be another one by now.
func (o owner) give(f *os.File) error {
	if os.Geteuid() != 0 || o.uid == 0 {
		return nil
	}
	if err := f.Chown(o.uid, o.gid); err != nil {
		return fmt.Errorf("give what was restored to the owner of the data directory: %w", err)
	}
	return nil
}

// statDirectory tells of a directory. A link to one must belong to root or to us: whoever made it could have led us anywhere.
func statDirectory(name string) (fs.FileInfo, error) {
	info, err := os.Lstat(name)
	if err == nil && info.Mode()&fs.ModeSymlink != 0 {
		if uid, _ := ownerOf(info); uid != 0 && uid != os.Geteuid() {
			return nil, fmt.Errorf("%s is a link that another user has made, and no directory", name)
		}
		info, err = os.Stat(name)
	}
	if err == nil && !info.IsDir() {
		return nil, fmt.Errorf("%s is no directory", name)
	}
	return info, err
}
