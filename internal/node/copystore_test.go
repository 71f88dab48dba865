package node

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"waybill/internal/config"
)

// TestOneDirectoryByTwoNames: wherever a command runs and by whatever links a data directory is named, it is one, and is locked once.
func TestOneDirectoryByTwoNames(t *testing.T) {
	real, link := t.TempDir(), filepath.Join(t.TempDir(), "link")
	if err := errors.Join(os.Mkdir(filepath.Join(real, "data"), 0o700), os.Symlink(real, link)); err != nil {
		t.Fatal(err)
	}
	t.Chdir(link) // so $PWD has the link
	names := []string{"data", filepath.Join(real, "data"), filepath.Join(link, "data")}
	locks, err := lockBoth(names...)
	if err != nil || len(locks) != 1 {
		t.Fatalf("%d locks: %v", len(locks), err)
	}
	if err := locks.release(); err != nil {
		t.Error(err)
	}
	for _, name := range names[1:] {
		if got, want := identity(config.Config{Data: name}), identity(config.Config{Data: names[0]}); got != want {
			t.Errorf("%s is %s, and %s is %s", name, got, names[0], want)
		}
	}
}
