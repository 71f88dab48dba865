package secret_test

import (
	"bytes"
	"errors"
	"sync"
	"testing"

	"waybill/internal/store"
	"waybill/internal/store/keys"
	"waybill/internal/store/pebble/pebbletest"
	"waybill/internal/store/record"
	"waybill/internal/store/secret"
)

// TestAllGetTheSame: nodes that need a secret first at the same moment get the same, and so does who comes later.
func TestAllGetTheSame(t *testing.T) {
	t.Parallel()
	st := pebbletest.Open(t)
	var all [8][]byte
	var wg sync.WaitGroup
	for i := range all {
		wg.Go(func() {
			var err error
			if all[i], err = secret.New(st, "x").Get(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	later, err := secret.New(st, "x").Get(t.Context())
	if err != nil || len(later) != secret.Size {
		t.Errorf("%x, %v", later, err)
	}
	for _, one := range all {
		if !bytes.Equal(one, later) {
			t.Errorf("%x and %x", one, later)
		}
	}
	if other, err := secret.New(st, "y").Get(t.Context()); err != nil || bytes.Equal(other, later) {
		t.Errorf("another secret: %x, %v", other, err)
	}
	b := &store.Batch{}
	b.Put(keys.Secret("cut"), later[1:])
	if _, err := st.Commit(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	cut := secret.New(st, "cut")
	for range 2 {
		if got, err := cut.Get(t.Context()); !errors.Is(err, record.ErrCorrupt) {
			t.Errorf("one that is damaged: %x, %v", got, err)
		}
	}
}
