package pebble_test

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"waybill/internal/store"
	"waybill/internal/store/pebble"
	"waybill/internal/store/storetest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	for name, fs := range map[string]func() vfs.FS{
		"disk":   func() vfs.FS { return vfs.Default },
		"memory": func() vfs.FS { return vfs.NewMem() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			storetest.Run(t, func(t *testing.T) storetest.Opener {
				o := pebble.Options{Dir: filepath.Join(t.TempDir(), "a", "store"), FS: fs()}
				return func() (store.Store, error) { return pebble.Open(o) }
			})
		})
	}
}

// TestConformanceSmallTables runs the suite with tables so small that each test writes and merges files.
func TestConformanceSmallTables(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) storetest.Opener {
		o := pebble.Options{Dir: "store", FS: vfs.NewMem(), MemTableSize: 64 << 10}
		return func() (store.Store, error) { return pebble.Open(o) }
	})
}

func TestOpenOfAnOpenStoreIsErrLocked(t *testing.T) {
	t.Parallel()
	for _, fs := range []vfs.FS{vfs.Default, vfs.NewMem()} {
		o := pebble.Options{Dir: filepath.Join(t.TempDir(), "store"), FS: fs}
		s, err := pebble.Open(o)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := pebble.Open(o); !errors.Is(err, pebble.ErrLocked) {
			t.Errorf("second open: %v, want ErrLocked", err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if s, err = pebble.Open(o); err != nil {
			t.Fatalf("open after close: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOpenOfAnUnusableDirectoryIsNotErrLocked(t *testing.T) {
	t.Parallel()
	_, err := pebble.Open(pebble.Options{Dir: "/dev/null/store"})
	if err == nil || errors.Is(err, pebble.ErrLocked) {
		t.Errorf("open: %v", err)
	}
}

func TestDiskFree(t *testing.T) {
	t.Parallel()
	s, err := pebble.Open(pebble.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if n, err := s.DiskFree(); err != nil || n == 0 {
		t.Errorf("%d octets free, %v", n, err)
	}
}
