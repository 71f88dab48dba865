package pebble_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"waybill/internal/store"
	"waybill/internal/store/faultfs"
	"waybill/internal/store/pebble"
)

// outcome is what one committer was told.
type outcome struct {
	n   int
	b   *store.Batch
	err error
}

// TestOneErrorAtEachStep lets one operation fail, another one in each round, under concurrent commits. Nobody may
// be told a lie, and the store must come back by itself and lose nothing.
func TestOneErrorAtEachStep(t *testing.T) {
	t.Parallel()
	for _, fault := range []struct {
		kind faultfs.Kind
		err  error
	}{
		{faultfs.Write, faultfs.ErrInjected}, {faultfs.Sync, faultfs.ErrInjected}, {faultfs.Write, faultfs.ErrNoSpace},
		{faultfs.Create, faultfs.ErrNoSpace}, {faultfs.Reuse, faultfs.ErrInjected}, {faultfs.Rename, faultfs.ErrInjected},
		{faultfs.Remove, faultfs.ErrInjected},
	} {
		t.Run(fmt.Sprint(fault.kind, " ", fault.err), func(t *testing.T) {
			t.Parallel()
			failures := 0
			for at := 1; at < 60; at += slowness + at/8 {
				failures += oneError(t, fault.kind, fault.err, at)
			}
			if failures == 0 && fault.kind != faultfs.Remove && fault.kind != faultfs.Rename {
				t.Error("no store failed: the test does nothing")
			}
		})
	}
}

// oneError runs one round and returns how often the store failed.
func oneError(t *testing.T, kind faultfs.Kind, fault error, at int) int {
	t.Helper()
	disk := faultfs.NewDisk()
	s := open(t, disk)
	defer s.Close()
	reopened, cancel := s.Watch([]byte("no such key"))
	defer cancel()
	var mu sync.Mutex
	left, failed := at, 0
	disk.Before(func(o faultfs.Op) error {
		mu.Lock()
		defer mu.Unlock()
		if o.Kind != kind {
			return nil
		}
		if left--; left != 0 {
			return nil
		}
		failed = 1
		return fault
	})
	l := &ledger{}
	outcomes := commitAll(l, s, 3, 30)
	mu.Lock()
	left = 0 // no more: what still goes on in the background must not fail later
	mu.Unlock()
	if failed > 0 && kind != faultfs.Remove { // a file that cannot be removed only stays
		select {
		case <-reopened:
		case <-time.After(20 * time.Second):
			t.Fatalf("%s %d: the store did not come back", kind, at)
		}
	}
	settle(t, l, s, outcomes)
	if t.Failed() {
		t.Fatalf("error at %s %d", kind, at)
	}
	return failed
}

func commitAll(l *ledger, s store.Store, workers, each int) (outcomes []outcome) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range each {
				n, b, err := l.commit(s)
				mu.Lock()
				outcomes = append(outcomes, outcome{n, b, err})
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return outcomes
}

// settle commits again what failed, after the store came back: a batch that was refused or lost is applied now,
// one that survived returns its first result. Then everything is there, once.
func settle(t *testing.T, l *ledger, s store.Store, outcomes []outcome) {
	t.Helper()
	if err := audit(s, l.before(l.moment())); err != nil {
		t.Errorf("after the error: %v", err)
	}
	for _, o := range outcomes {
		switch {
		case o.err == nil && !o.b.Lazy:
			continue
		case o.err != nil && !errors.Is(o.err, store.ErrUnknown) && !errors.Is(o.err, store.ErrUnavailable):
			t.Errorf("batch %d: %v", o.n, o.err)
		case errors.Is(o.err, store.ErrUnavailable) && present(t, s, o.n):
			t.Errorf("batch %d was refused (%v) and is there", o.n, o.err)
		}
		o.b.Lazy = false
		r, err := s.Commit(context.Background(), o.b)
		if err != nil {
			t.Errorf("batch %d again: %v", o.n, err)
			continue
		}
		l.ack(o.n, r)
	}
	if l.moment() != len(outcomes) {
		t.Errorf("%d batches, want %d", l.moment(), len(outcomes))
	}
	if err := audit(s, l.before(l.moment())); err != nil {
		t.Errorf("after committing again: %v", err)
	}
}

func present(t *testing.T, s store.Store, n int) bool {
	t.Helper()
	sn, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer sn.Close()
	_, _, err = sn.Get(partKey(n, 0))
	return err == nil
}

// TestDiskStaysBroken: while the disk fails, at every attempt to reopen too, nothing succeeds, reads included;
// after that everything acknowledged is there.
func TestDiskStaysBroken(t *testing.T) {
	t.Parallel()
	for _, kinds := range [][]faultfs.Kind{
		{faultfs.Sync}, {faultfs.Write}, {faultfs.Write, faultfs.Create}, {faultfs.Sync, faultfs.Write, faultfs.Create, faultfs.Reuse},
	} {
		t.Run(fmt.Sprint(kinds), func(t *testing.T) {
			t.Parallel()
			disk := faultfs.NewDisk()
			s := open(t, disk)
			defer s.Close()
			l := &ledger{}
			outcomes := commitAll(l, s, 3, 20)
			sn, err := s.Snapshot()
			if err != nil {
				t.Fatal(err)
			}
			defer sn.Close()

			var broken atomic.Int64
			attempts := make(chan struct{})
			disk.Before(func(o faultfs.Op) error {
				for _, k := range kinds {
					if o.Kind == k {
						if broken.Add(1) == 30 {
							close(attempts)
						}
						return faultfs.ErrNoSpace
					}
				}
				return nil
			})
			for _, o := range commitAll(l, s, 3, 5) {
				if o.err == nil && !o.b.Lazy {
					t.Errorf("batch %d succeeded on a broken disk", o.n)
				}
				outcomes = append(outcomes, o)
			}
			checkUnavailable(t, s, sn)
			<-attempts
			checkUnavailable(t, s, sn)
			reopened, cancel := s.Watch(nil)
			defer cancel()
			disk.Before(nil)
			<-reopened
			if err := s.Healthy(); err != nil {
				t.Errorf("after the disk works again: %v", err)
			}
			settle(t, l, s, outcomes)
		})
	}
}

func checkUnavailable(t *testing.T, s store.Store, sn store.Snapshot) {
	t.Helper()
	_, _, getErr := sn.Get([]byte("count"))
	_, snapErr := s.Snapshot()
	for what, err := range map[string]error{
		"healthy": s.Healthy(), "barrier": s.Barrier(context.Background()), "snapshot": snapErr, "get": getErr,
	} {
		if !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s on a broken disk: %v, want ErrUnavailable", what, err)
		}
	}
	if !errors.Is(s.Healthy(), faultfs.ErrNoSpace) {
		t.Errorf("healthy does not tell the cause: %v", s.Healthy())
	}
}

// TestCrashAfterAnError: the disk fails, the store recovers, more is committed, the power fails: what a failed
// sync left in memory only must not count as durable.
func TestCrashAfterAnError(t *testing.T) {
	t.Parallel()
	for at := int64(1); at < 16; at++ {
		disk := faultfs.NewDisk()
		s := open(t, disk)
		reopened, cancel := s.Watch([]byte("no such key"))
		var seen atomic.Int64
		disk.Before(func(o faultfs.Op) error {
			if o.Kind == faultfs.Sync && seen.Add(1) == at {
				return faultfs.ErrInjected
			}
			return nil
		})
		l := &ledger{}
		commitAll(l, s, 1, 30)
		<-reopened
		for range 3 {
			if _, _, err := l.commit(s); err != nil {
				t.Fatal(err)
			}
		}
		f := found{disk.Crash(0, 1), l.moment()}
		cancel()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		recover(t, l, f)
	}
}

// TestCloseOfABrokenStore ends, says that it was broken, and gives the directory free.
func TestCloseOfABrokenStore(t *testing.T) {
	t.Parallel()
	disk := faultfs.NewDisk()
	s := open(t, disk)
	l := &ledger{}
	commitAll(l, s, 2, 10)
	disk.Before(func(faultfs.Op) error { return faultfs.ErrInjected })
	if _, _, err := l.commit(s); !errors.Is(err, store.ErrUnknown) {
		t.Errorf("commit: %v", err)
	}
	if err := s.Close(); !errors.Is(err, faultfs.ErrInjected) {
		t.Errorf("close: %v", err)
	}
	disk.Before(nil)
	s = open(t, disk)
	defer s.Close()
	if err := audit(s, l.before(l.moment())); err != nil {
		t.Error(err)
	}
}

// TestOpenOnABrokenDisk fails at whatever step, leaves no lock behind, and nothing that a later opening trips over.
func TestOpenOnABrokenDisk(t *testing.T) {
	t.Parallel()
	disk := faultfs.NewDisk()
	for at := disk.Steps() + 1; at < 60; at++ {
		var seen atomic.Int64
		disk.Before(func(o faultfs.Op) error {
			if o.Kind != faultfs.Remove && seen.Add(1) >= at {
				return faultfs.ErrInjected
			}
			return nil
		})
		s, err := pebble.Open(pebble.Options{Dir: "store", FS: disk, MemTableSize: smallTables})
		if err == nil {
			if seen.Load() >= at {
				t.Errorf("step %d: open succeeded on a broken disk", at)
			}
			_ = s.Close()
			continue
		}
		if errors.Is(err, pebble.ErrLocked) {
			t.Fatalf("step %d: %v", at, err)
		}
	}
	disk.Before(nil)
	s := open(t, disk)
	defer s.Close()
	if _, _, err := (&ledger{}).commit(s); err != nil {
		t.Error(err)
	}
}

// TestPausesGrow counts the attempts to reopen over an hour of virtual time.
func TestPausesGrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := faultfs.New(vfs.NewMem())
		s, err := pebble.Open(pebble.Options{
			Dir: "store", FS: fs, MemTableSize: smallTables, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
		})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		begin := time.Now()
		var mu sync.Mutex
		var at []time.Duration
		fs.Before(func(faultfs.Op) error {
			mu.Lock()
			defer mu.Unlock()
			if d := time.Since(begin); len(at) == 0 || at[len(at)-1] != d {
				at = append(at, d)
			}
			return faultfs.ErrNoSpace
		})
		if _, err := s.Commit(t.Context(), &store.Batch{Puts: []store.Put{{Key: []byte("k")}}}); !errors.Is(err, store.ErrUnknown) {
			t.Fatal(err)
		}
		time.Sleep(105 * time.Second)
		fs.Before(nil)
		want := []time.Duration{0, 100, 400, 1400, 4400, 14400, 44400, 74400, 104400}
		for i := range want {
			want[i] *= time.Millisecond
		}
		mu.Lock()
		if fmt.Sprint(at) != fmt.Sprint(want) {
			t.Errorf("attempts at %v, want %v", at, want)
		}
		mu.Unlock()
		time.Sleep(time.Minute)
		if err := s.Healthy(); err != nil {
			t.Error(err)
		}
	})
}
