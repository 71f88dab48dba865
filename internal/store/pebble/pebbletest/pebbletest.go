// Package pebbletest opens stores for tests that want any store.
package pebbletest

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"waybill/internal/store/pebble"
)

// Open opens an empty store in memory and closes it with the test.
func Open(tb testing.TB) *pebble.Store {
	tb.Helper()
	st, err := pebble.Open(pebble.Options{Dir: "store", FS: vfs.NewMem(), MemTableSize: 1 << 20})
	if err != nil {
		tb.Fatal("open the store:", err)
	}
	tb.Cleanup(func() {
		if err := st.Close(); err != nil {
			tb.Error("close the store:", err)
		}
	})
	return st
}
