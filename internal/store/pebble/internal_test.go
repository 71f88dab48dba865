package pebble

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"waybill/internal/store"
	"waybill/internal/store/faultfs"
)

func openMem(t *testing.T, fs vfs.FS) *Store {
	t.Helper()
	s, err := Open(Options{Dir: "store", FS: fs, MemTableSize: 64 << 10, ReopenPauses: []time.Duration{time.Millisecond}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func put(k, v string) *store.Batch {
	return &store.Batch{Puts: []store.Put{{Key: []byte(k), Value: []byte(v)}}}
}

// TestNothingRunsAfterClose is not parallel: it looks for goroutines of any store.
func TestNothingRunsAfterClose(t *testing.T) {
	s := openMem(t, vfs.NewMem())
	for range 40 {
		if _, err := s.Commit(t.Context(), put("k", strings.Repeat("x", 9000))); err != nil {
			t.Fatal(err)
		}
	}
	sn, err := s.Snapshot() // left open
	if err != nil {
		t.Fatal(err)
	}
	reopened, _ := s.Watch(nil)
	s.current.Load().fence.kill(faultfs.ErrInjected)
	<-reopened
	if _, _, err := sn.Get([]byte("k")); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("get from a snapshot of a dead generation: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	stacks := make([]byte, 1<<20)
	for deadline := time.Now().Add(10 * time.Second); ; runtime.Gosched() { // an ended goroutine may still be leaving
		all := string(stacks[:runtime.Stack(stacks, true)])
		if !strings.Contains(all, "cockroachdb/pebble") && !strings.Contains(all, "(*Store).keep") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("still running:\n%s", all)
		}
	}
}

// TestFatalf: on a goroutine that came through this package it becomes an error, on Pebble's own it ends that
// goroutine; the process and the store go on.
func TestFatalf(t *testing.T) {
	t.Parallel()
	s := openMem(t, vfs.NewMem())
	defer s.Close()
	if _, err := s.Commit(t.Context(), put("k", "v")); err != nil {
		t.Fatal(err)
	}
	for _, own := range []bool{true, false} {
		reopened, cancel := s.Watch(nil)
		g := s.current.Load()
		if own {
			if err := g.fatal(); !errors.Is(err, store.ErrUnavailable) {
				t.Errorf("fatal on a goroutine of the store's: %v", err)
			}
		} else {
			go g.log.die(t)
		}
		<-reopened
		cancel()
		sn, err := s.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		if v, _, err := sn.Get([]byte("k")); err != nil || string(v) != "v" {
			t.Errorf("after the recovery: %q, %v", v, err)
		}
		_ = sn.Close()
	}
}

func (g *generation) fatal() (err error) {
	defer g.rescue(&err)
	g.log.Fatalf("on purpose: %d", 1)
	return nil
}

// die is alone on its stack, as the functions of Pebble's own goroutines are among themselves.
func (l *logger) die(t *testing.T) {
	l.Fatalf("on purpose")
	t.Error("Fatalf returned")
}

// TestBarrierCostsNothingWhenAllIsDurable.
func TestBarrierCostsNothingWhenAllIsDurable(t *testing.T) {
	t.Parallel()
	fs := faultfs.New(vfs.NewMem())
	s := openMem(t, fs)
	defer s.Close()
	barrier := func(want bool, what string) {
		t.Helper()
		before := fs.Steps()
		for range 3 {
			if err := s.Barrier(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		if did := fs.Steps() != before; did != want {
			t.Errorf("barrier %s: touched the disk: %v, want %v", what, did, want)
		}
	}
	barrier(false, "of an empty store")
	lazy := put("k", "v")
	lazy.Lazy = true
	if _, err := s.Commit(context.Background(), lazy); err != nil {
		t.Fatal(err)
	}
	barrier(true, "after a lazy batch")
	barrier(false, "after a barrier")
	if _, err := s.Commit(context.Background(), put("k", "w")); err != nil {
		t.Fatal(err)
	}
	barrier(false, "after a durable batch")
}

// TestBatchIDsAreForgotten after ten minutes, not before, and a restart does not shorten that.
func TestBatchIDsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		s := openMem(t, fs)
		count := func(id byte) int64 {
			b := &store.Batch{ID: store.BatchID{id}, Counters: []store.Counter{{Key: []byte{id}, Add: 1}}}
			r, err := s.Commit(context.Background(), b)
			if err != nil {
				t.Fatal(err)
			}
			return r.Counters[0]
		}
		remembered := func() (n int) {
			it, err := s.current.Load().db.NewIter(nil)
			if err != nil {
				t.Fatal(err)
			}
			defer it.Close()
			for it.First(); it.Valid(); it.Next() {
				if bytes.HasPrefix(it.Key(), []byte{internalPrefix, 'b'}) {
					n++
				}
			}
			return n
		}
		count('a')
		time.Sleep(9 * time.Minute)
		count('b')
		time.Sleep(2 * time.Minute)
		count('x') // begins a bucket
		if count('a') != 1 || count('b') != 1 {
			t.Error("forgotten too early")
		}
		_ = s.Close()
		s = openMem(t, fs)
		time.Sleep(rememberFor - time.Second)
		if count('a') != 1 || count('b') != 1 || count('x') != 1 {
			t.Error("forgotten too early, after a restart")
		}
		time.Sleep(time.Second)
		count('y') // forgets the bucket of a and b
		if n := remembered(); n != 2 {
			t.Errorf("%d ids remembered, want 2", n)
		}
		if count('a') != 2 || count('x') != 1 {
			t.Error("the wrong ids were forgotten")
		}
		_ = s.Close()
	})
}

// TestVersionsOfALostCommitAreNotReused: somebody may have read it before it was lost.
func TestVersionsOfALostCommitAreNotReused(t *testing.T) {
	t.Parallel()
	disk := faultfs.NewDisk()
	s := openMem(t, disk)
	defer s.Close()
	first, err := s.Commit(t.Context(), put("k", "v"))
	if err != nil {
		t.Fatal(err)
	}
	lazy := put("k", "lost")
	lazy.Lazy = true
	lost, err := s.Commit(t.Context(), lazy)
	if err != nil {
		t.Fatal(err)
	}
	crashed := openMem(t, disk.Crash(0, 1))
	defer crashed.Close()
	next, err := crashed.Commit(t.Context(), put("k", "w"))
	if err != nil {
		t.Fatal(err)
	}
	if lost.Version <= first.Version || next.Version <= lost.Version {
		t.Errorf("versions %d, %d (lost), %d", first.Version, lost.Version, next.Version)
	}
}

// TestFenceIsTight: after the failure no operation of the old generation reaches the disk.
func TestFenceIsTight(t *testing.T) {
	t.Parallel()
	fs := faultfs.New(vfs.NewMem())
	f := &fence{FS: fs, dir: "store", failed: func(error) {}}
	if err := f.MkdirAll("store", 0o700); err != nil {
		t.Fatal(err)
	}
	file, err := f.Create("store/a", "")
	if err != nil {
		t.Fatal(err)
	}
	f.kill(faultfs.ErrInjected)
	f.drain()
	before := fs.Steps()
	void, err := f.Create("store/b", "")
	if err != nil {
		t.Fatal(err)
	}
	reused, err := f.ReuseForWrite("store/a", "store/c", "")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []vfs.File{file, void, reused} {
		n, err := file.Write([]byte("data"))
		_, errTo := file.SyncTo(4)
		if n != 4 || errors.Join(err, file.Sync(), file.SyncData(), errTo, file.Preallocate(0, 9), file.Close()) != nil {
			t.Errorf("a dead fence does not pretend: %d, %v", n, err)
		}
	}
	err = errors.Join(f.Rename("store/a", "store/d"), f.Link("store/a", "store/e"), f.Remove("store/a"),
		f.RemoveAll("store"), f.MkdirAll("other", 0o700))
	if err != nil {
		t.Errorf("a dead fence does not pretend: %v", err)
	}
	if _, err := f.Open("store/a"); !errors.Is(err, errFenced) {
		t.Errorf("open: %v", err)
	}
	if fs.Steps() != before {
		t.Errorf("%d operations reached the disk", fs.Steps()-before)
	}
	if names, err := fs.List("store"); err != nil || len(names) != 1 || names[0] != "a" {
		t.Errorf("the directory changed: %v, %v", names, err)
	}
}
