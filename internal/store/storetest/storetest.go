// Package storetest is the conformance suite of store engines: what the comments in package store promise, as
// tests. An engine's own tests call Run.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"waybill/internal/store"
)

// Opener opens the engine on the same data each time: a call after Close is a restart.
type Opener func() (store.Store, error)

// Run runs the suite. open is called once in each test and returns an opener of an empty store of its own,
// cleaned up with the test.
func Run(t *testing.T, open func(t *testing.T) Opener) {
	for name, test := range map[string]func(*testing.T, *fixture){
		"GetAndScan":               testGetAndScan,
		"ScanOfNothing":            testScanOfNothing,
		"AnyKey":                   testAnyKey,
		"LargeValues":              testLargeValues,
		"Checks":                   testChecks,
		"VersionsAreNeverReused":   testVersionsAreNeverReused,
		"RefusedBatchDoesNothing":  testRefusedBatchDoesNothing,
		"OrderOfEvaluation":        testOrderOfEvaluation,
		"DeleteRanges":             testDeleteRanges,
		"Counters":                 testCounters,
		"CounterLimit":             testCounterLimit,
		"Slots":                    testSlots,
		"BadSlots":                 testBadSlots,
		"SnapshotIsolation":        testSnapshotIsolation,
		"SnapshotClosed":           testSnapshotClosed,
		"ScanEndsEarly":            testScanEndsEarly,
		"BatchIsNotKept":           testBatchIsNotKept,
		"BatchID":                  testBatchID,
		"BatchIDConcurrently":      testBatchIDConcurrently,
		"LazyAndBarrier":           testLazyAndBarrier,
		"Restart":                  testRestart,
		"Watch":                    testWatch,
		"WatchCancel":              testWatchCancel,
		"Closed":                   testClosed,
		"Context":                  testContext,
		"ConcurrentCounters":       testConcurrentCounters,
		"ConcurrentChecks":         testConcurrentChecks,
		"ConcurrentBatchesAreSeen": testConcurrentBatchesAreSeenWhole,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := &fixture{T: t, opener: open(t)}
			f.restart()
			t.Cleanup(func() { _ = f.store.Close() })
			test(t, f)
		})
	}
}

// fixture is a store with helpers that end the test on errors.
type fixture struct {
	*testing.T
	opener Opener
	store  store.Store
}

func (f *fixture) restart() {
	f.Helper()
	if f.store != nil {
		if err := f.store.Close(); err != nil {
			f.Fatalf("close: %v", err)
		}
	}
	s, err := f.opener()
	if err != nil {
		f.Fatalf("open: %v", err)
	}
	f.store = s
}

func (f *fixture) commit(b *store.Batch) store.Result {
	f.Helper()
	r, err := f.store.Commit(context.Background(), b)
	if err != nil {
		f.Fatalf("commit: %v", err)
	}
	return r
}

// put commits key=value pairs in one batch.
func (f *fixture) put(pairs ...string) store.Version {
	f.Helper()
	var b store.Batch
	for _, p := range pairs {
		k, v, _ := strings.Cut(p, "=")
		b.Put([]byte(k), []byte(v))
	}
	return f.commit(&b).Version
}

// refused commits a batch that must fail with want.
func (f *fixture) refused(want error, b *store.Batch) {
	f.Helper()
	if _, err := f.store.Commit(context.Background(), b); !errors.Is(err, want) {
		f.Fatalf("commit: %v, want %v", err, want)
	}
}

func (f *fixture) snapshot() store.Snapshot {
	f.Helper()
	sn, err := f.store.Snapshot()
	if err != nil {
		f.Fatalf("snapshot: %v", err)
	}
	f.Cleanup(func() { _ = sn.Close() })
	return sn
}

// get returns the value and version of key, or "-" and Absent.
func (f *fixture) get(key string) (string, store.Version) {
	f.Helper()
	sn := f.snapshot()
	defer sn.Close()
	v, version, err := sn.Get([]byte(key))
	if errors.Is(err, store.ErrNotFound) {
		return "-", store.Absent
	}
	if err != nil {
		f.Fatalf("get %q: %v", key, err)
	}
	return string(v), version
}

// is demands that a key has a value; "-" stands for absence.
func (f *fixture) is(key, want string) {
	f.Helper()
	if v, _ := f.get(key); v != want {
		f.Errorf("%s = %q, want %q", key, v, want)
	}
}

// scan returns the range as "key=value key=value".
func (f *fixture) scan(sn store.Snapshot, r store.Range) string {
	f.Helper()
	var all []string
	for e, err := range sn.Scan(r) {
		if err != nil {
			f.Fatalf("scan: %v", err)
		}
		all = append(all, fmt.Sprintf("%s=%s", e.Key, e.Value))
	}
	return strings.Join(all, " ")
}

// contents demands the whole store's content.
func (f *fixture) contents(want string) {
	f.Helper()
	if got := f.scan(f.snapshot(), store.Range{}); got != want {
		f.Errorf("contents:\n  %s\nwant\n  %s", got, want)
	}
}

func (f *fixture) counters(r store.Result, want ...int64) {
	f.Helper()
	if !slices.Equal(r.Counters, want) {
		f.Errorf("counters %v, want %v", r.Counters, want)
	}
}

// woken waits for a watch.
func (f *fixture) woken(ch <-chan struct{}, what string) {
	f.Helper()
	select {
	case <-ch:
	case <-time.After(10 * time.Second):
		f.Fatalf("not woken by %s", what)
	}
}

func (f *fixture) asleep(ch <-chan struct{}, what string) {
	f.Helper()
	select {
	case <-ch:
		f.Fatalf("woken by %s", what)
	default:
	}
}
