//go:build unix

package node

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"waybill/internal/config"
)

const stranger = 65534

// strangersData is a data directory that belongs to another user.
func strangersData(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away: it takes root to test that it gives no others")
	}
	data := t.TempDir()
	if err := os.Chown(data, stranger, stranger); err != nil {
		t.Fatal(err)
	}
	return data
}

func uidOf(t *testing.T, name string) int {
	t.Helper()
	info, err := os.Lstat(name)
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := ownerOf(info)
	return uid
}

// TestRestoreGivesAwayNothingElse: whoever owns the data directory can put links to what is root's in the place of what root
// restores there, at any moment, and comes to own nothing by it.
func TestRestoreGivesAwayNothingElse(t *testing.T) {
	t.Parallel()
	data := strangersData(t)
	whole, c := backupOf(t)
	dir := filepath.Join(t.TempDir(), "backup")
	if err := SaveBackup(t.Context(), sends(whole), c, dir); err != nil {
		t.Fatal(err)
	}
	outside := t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "MANIFEST-000001"), []byte("root's"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.Data = data
	stop := make(chan struct{})
	var swapping sync.WaitGroup
	swapping.Go(func() {
		parts := filepath.Join(data, restoreParts)
		for {
			select {
			case <-stop:
				return
			default:
			}
			if os.Rename(parts, filepath.Join(data, "away")) == nil {
				_ = os.Symlink(outside, parts)
				_ = os.RemoveAll(filepath.Join(data, "away"))
			}
		}
	})
	for end := time.Now().Add(time.Second); time.Now().Before(end); {
		_ = Restore(c, dir) // may fail
		_ = os.RemoveAll(filepath.Join(data, backupStore))
	}
	close(stop)
	swapping.Wait()
	if err := filepath.WalkDir(outside, func(file string, _ fs.DirEntry, err error) error {
		if err == nil && uidOf(t, file) != 0 {
			t.Errorf("%s was given away", file)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
	if entries, err := os.ReadDir(outside); err != nil || len(entries) != 1 {
		t.Errorf("outside: %v, %v", entries, err)
	}
	if err := errors.Join(os.RemoveAll(filepath.Join(data, restoreParts)), Restore(c, dir)); err != nil {
		t.Fatal(err)
	}
	store := filepath.Join(data, backupStore)
	entries, err := os.ReadDir(store)
	if err != nil || len(entries) == 0 || uidOf(t, store) != stranger {
		t.Fatal(entries, err)
	}
	for _, e := range entries {
		if file := filepath.Join(store, e.Name()); uidOf(t, file) != stranger {
			t.Errorf("%s is not its owner's", file)
		}
	}
}

// TestRestoreCopiesNoLinks: a link in a backup could lead to what its reader may not have.
func TestRestoreCopiesNoLinks(t *testing.T) {
	t.Parallel()
	whole, c := backupOf(t)
	dir := filepath.Join(t.TempDir(), "backup")
	if err := SaveBackup(t.Context(), sends(whole), c, dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../backup.json", filepath.Join(dir, backupStore, "x")); err != nil {
		t.Fatal(err)
	}
	c.Data = t.TempDir()
	if err := Restore(c, dir); err == nil || !strings.Contains(err.Error(), "x is no regular file") {
		t.Errorf("restored: %v", err)
	}
	if entries, err := os.ReadDir(c.Data); err != nil || len(entries) > 0 {
		t.Errorf("left: %v, %v", entries, err)
	}
}

// TestStoreOwnerIsNotLedAstray: a store that is not what it seems has no owner.
func TestStoreOwnerIsNotLedAstray(t *testing.T) {
	t.Parallel()
	data := strangersData(t)
	if uid, gid, err := StoreOwner(data); err != nil || uid != stranger || gid != stranger {
		t.Errorf("without a store: %d, %d, %v", uid, gid, err)
	}
	store := filepath.Join(data, backupStore)
	if err := os.Symlink(t.TempDir(), store); err != nil {
		t.Fatal(err)
	}
	if _, _, err := StoreOwner(data); err == nil || !strings.Contains(err.Error(), "is no directory") {
		t.Errorf("a link: %v", err)
	}
	if err := Restore(config.Config{Data: data}, t.TempDir()); err == nil {
		t.Error("restored")
	}
	if err := errors.Join(os.Remove(store), os.Mkdir(store, 0o700)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := StoreOwner(data); err == nil || !strings.Contains(err.Error(), "but the store in it to user 0") {
		t.Errorf("root's: %v", err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := errors.Join(os.Symlink(data, link), os.Lchown(store, stranger, stranger)); err != nil {
		t.Fatal(err)
	}
	if uid, _, err := StoreOwner(link); err != nil || uid != stranger {
		t.Errorf("by a link of root's: %d, %v", uid, err)
	}
	if err := os.Lchown(link, stranger, stranger); err != nil {
		t.Fatal(err)
	}
	if _, _, err := StoreOwner(link); err == nil || !strings.Contains(err.Error(), "is a link that another user has made") {
		t.Errorf("by a link of another's: %v", err)
	}
}
