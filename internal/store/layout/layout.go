// Package layout knows in which form the keys of a store are, and brings a store of an older release to today's.
//
//	1  until November 2026: the due index was one, due/ micros8 message14; the store does not say that it is of this form
//	2  the due index is in slices
//
// A store says its form under the key "layout", one octet.
package layout

import (
	"context"
	"errors"
	"fmt"

	"waybill/internal/store"
	"waybill/internal/store/keys"
	"waybill/internal/store/record"
)

// Current is the form to which this release brings a store, and Oldest the first one that it can work with all the same. A release
// that makes a new form works with the one before as it is until somebody migrates the store: so nodes of two releases can share it.
const (
	Current = 2
	Oldest  = 2
)

var (
	// ErrOlder: the store has to be brought to today's form first (Upgrade).
	ErrOlder = errors.New("the store is of an older release: it has to be migrated")
	// ErrNewer: only a newer release can use the store.
	ErrNewer = errors.New("the store is of a newer release, this program must not touch it")
)

// Check returns the form of the store, 0 if there is nothing in it, and whether this release can work with that. Errors: ErrOlder,
// ErrNewer, those of the store.
func Check(st store.Store) (have int, err error) {
	snap, err := st.Snapshot()
	if err != nil {
		return 0, fmt.Errorf("look at the form of the store: %w", err)
	}
	defer snap.Close()
	have, _, err = read(snap)
	switch {
	case err != nil:
		return 0, err
	case have > Current:
		return have, fmt.Errorf("%w (form %d, known here: %d)", ErrNewer, have, Current)
	case have != 0 && have < Oldest:
		return have, fmt.Errorf("%w (form %d, needed: %d)", ErrOlder, have, Oldest)
	}
	return have, nil
}

// Upgrade brings the store to today's form, and returns in which it was; 0 for an empty one. Nobody else may use the store
// meanwhile. It may be broken off, and goes on when it is called again. Errors: ErrNewer, those of the store.
func Upgrade(ctx context.Context, st store.Store) (from int, err error) {
	snap, err := st.Snapshot()
	if err != nil {
		return 0, fmt.Errorf("look at the form of the store: %w", err)
	}
	defer snap.Close()
	from, version, err := read(snap)
	if err != nil || from == Current {
		return from, err
	}
	if from > Current {
		return from, fmt.Errorf("%w (form %d, known here: %d)", ErrNewer, from, Current)
	}
	if from == 1 {
		if err := slice(ctx, st, snap); err != nil {
			return from, fmt.Errorf("bring the store to form %d: %w", Current, err)
		}
	}
	var b store.Batch
	b.Check(keys.Layout(), version)
	b.Put(keys.Layout(), []byte{Current})
	if _, err := st.Commit(ctx, &b); err != nil && !errors.Is(err, store.ErrConflict) { // else somebody has just done it
		return from, fmt.Errorf("note the form of the store: %w", err)
	}
	return from, nil
}

// read returns the form of a store; 0 if there is nothing in it.
func read(snap store.Snapshot) (have int, version store.Version, err error) {
	value, version, err := snap.Get(keys.Layout())
	switch {
	case err == nil && len(value) == 1:
		return int(value[0]), version, nil
	case err == nil:
		return 0, 0, fmt.Errorf("key %q: %w", keys.Layout(), record.ErrCorrupt)
	case !errors.Is(err, store.ErrNotFound):
		return 0, 0, fmt.Errorf("look at the form of the store: %w", err)
	}
	for _, err := range snap.Scan(store.Range{Limit: 1}) {
		if err != nil {
			return 0, 0, fmt.Errorf("look at the form of the store: %w", err)
		}
		return 1, store.Absent, nil
	}
	return 0, store.Absent, nil
}

// atOnce is how many entries are moved in one batch.
const atOnce = 1000

// slice moves the entries of the due index to where they are in form 2.
func slice(ctx context.Context, st store.Store, snap store.Snapshot) error {
	var b store.Batch
	for e, err := range snap.Scan(store.Prefix(keys.DueAll())) {
		if err != nil {
			return err
		}
		due, id, ok := keys.ParseUnslicedDue(e.Key)
		if !ok { // moved already, or never an entry
			continue
		}
		b.Delete(append([]byte(nil), e.Key...))
		b.Put(keys.Due(due, id), nil)
		if len(b.Puts) == atOnce {
			if _, err := st.Commit(ctx, &b); err != nil {
				return err
			}
			b = store.Batch{}
		}
	}
	if len(b.Puts) == 0 {
		return nil
	}
	_, err := st.Commit(ctx, &b)
	return err
}
