package pebble_test

import (
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"waybill/internal/store"
	"waybill/internal/store/faultfs"
)

// found is a disk after a crash and how many batches had been acknowledged before.
type found struct {
	disk  *faultfs.Disk
	acked int
}

// crasher takes what a crash would leave, at moments that a test chooses.
type crasher struct {
	disk *faultfs.Disk
	l    *ledger

	mu    sync.Mutex
	found []found
	seed  uint64
}

// crash first notes who has been told, then looks at the disk: whoever is told in between is not demanded.
func (c *crasher) crash() {
	acked := c.l.moment()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seed++
	percent := [4]int{0, 20, 50, 90}[c.seed%4]
	c.found = append(c.found, found{c.disk.Crash(percent, c.seed), acked})
}

// work commits from some goroutines at once until each has done its share, and calls then after each commit.
func work(t *testing.T, l *ledger, disk *faultfs.Disk, workers, each int, then func()) {
	t.Helper()
	s := open(t, disk)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range each {
				if _, _, err := l.commit(s); err != nil {
					t.Errorf("commit: %v", err)
				}
				then()
			}
		})
	}
	wg.Wait()
	if err := s.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

// TestCrashAfterEveryStep stops the disk after every sync and many of the other steps, from the creation of the
// store to its end, and again at a step of the recovery that follows.
func TestCrashAfterEveryStep(t *testing.T) {
	t.Parallel()
	disk := faultfs.NewDisk()
	c := &crasher{disk: disk, l: &ledger{}}
	steps := 0
	var mu sync.Mutex
	disk.After(func(o faultfs.Op) {
		mu.Lock()
		steps++
		now := o.Kind == faultfs.Sync || o.Kind != faultfs.Write || steps%8 == 0
		mu.Unlock()
		if now {
			c.crash()
		}
	})
	work(t, c.l, disk, 4, 45/slowness, func() {})
	disk.After(nil)
	t.Logf("%d crashes in %d steps, %d batches acknowledged", len(c.found), steps, c.l.moment())
	if c.l.moment() < 100/slowness || len(c.found) < 100/slowness {
		t.Error("too little happened to mean anything")
	}
	for i, f := range c.found {
		if i%slowness != 0 {
			continue
		}
		recovery := &crasher{disk: f.disk, l: c.l, seed: uint64(i)}
		at := f.disk.Steps() + 1 + int64(i%40)
		f.disk.After(func(faultfs.Op) {
			if f.disk.Steps() == at {
				recovery.crash()
			}
		})
		recover(t, c.l, f)
		for _, again := range recovery.found {
			recover(t, c.l, found{again.disk, f.acked})
		}
		if t.Failed() {
			return
		}
	}
}

// recover opens a disk after a crash, audits it and sees that it works.
func recover(t *testing.T, l *ledger, f found) {
	t.Helper()
	s := open(t, f.disk)
	defer s.Close()
	if err := audit(s, l.before(f.acked)); err != nil {
		t.Errorf("after a crash with %d acknowledged: %v", f.acked, err)
	}
	_, probe := l.batch() // not noted: it is on this disk only
	if _, err := s.Commit(t.Context(), probe); err != nil {
		t.Errorf("commit after a crash: %v", err)
	}
}

// TestCrashAtRandomMoments crashes at no particular step, while others commit, over several lives of the store that
// each go on from what a crash left.
func TestCrashAtRandomMoments(t *testing.T) {
	t.Parallel()
	disk := faultfs.NewDisk()
	var kept []entry
	for life := range 4 / slowness {
		c := &crasher{disk: disk, l: &ledger{next: life * 1000, acked: kept}, seed: uint64(life)}
		work(t, c.l, disk, 8, 20, func() {
			if rand.IntN(6) == 0 {
				c.crash()
			}
		})
		if len(c.found) == 0 {
			c.crash()
		}
		for _, f := range c.found[:min(len(c.found), 24/slowness)] {
			recover(t, c.l, f)
		}
		last := found{disk.Crash(30, uint64(life)), c.l.moment()}
		kept = c.l.before(last.acked)
		disk = last.disk
	}
	t.Logf("%d batches acknowledged", len(kept))
}

// TestSyncLeftOutIsNoticed proves that these tests can fail: on a disk that only claims to sync the log, a crash
// must lose acknowledged batches, and the audit must say so.
func TestSyncLeftOutIsNoticed(t *testing.T) {
	t.Parallel()
	disk := faultfs.NewDisk()
	l := &ledger{}
	s := open(t, disk)
	disk.Before(func(o faultfs.Op) error {
		if o.Kind == faultfs.Sync && o.Log() {
			return faultfs.ErrSkip
		}
		return nil
	})
	for range 8 {
		if _, _, err := l.commit(s); err != nil {
			t.Fatal(err)
		}
	}
	crashed := disk.Crash(0, 1)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	r := open(t, crashed)
	defer r.Close()
	err := audit(r, l.before(l.moment()))
	if err == nil || !strings.Contains(err.Error(), "lost") {
		t.Errorf("audit of a disk that did not sync: %v, want a loss", err)
	}
}

// TestChecksAloneAreNoExcuse: a durable batch that writes nothing implies, like any other, that what was applied before it
// is durable; so does a Barrier after it.
func TestChecksAloneAreNoExcuse(t *testing.T) {
	t.Parallel()
	disk := faultfs.NewDisk()
	s := open(t, disk)
	defer s.Close()
	key := []byte("lazy")
	if _, err := s.Commit(t.Context(), &store.Batch{Lazy: true, Puts: []store.Put{{Key: key}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Commit(t.Context(), &store.Batch{Checks: []store.Check{{Key: []byte("nothing")}}}); err != nil {
		t.Fatal(err)
	}
	again := open(t, disk.Crash(0, 1))
	defer again.Close()
	snap, err := again.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Close()
	if _, _, err := snap.Get(key); err != nil {
		t.Errorf("what a durable batch came after is lost: %v", err)
	}
}
