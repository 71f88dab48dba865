package store

import (
	"errors"
	"fmt"
)

// What follows is the same for every engine.

// CheckSlots returns which of the batch's slots has no place in its put or names a counter that is not there; nil if all are
// in order. An engine asks it before it does anything with a batch.
func (b *Batch) CheckSlots() error {
	for i := range b.Puts {
		put := &b.Puts[i]
		for _, s := range put.KeySlots {
			if !s.fits(len(put.Key), len(b.Counters)) {
				return fmt.Errorf("store: put %d: slot %+v does not fit the key", i, s)
			}
		}
		for _, s := range put.ValueSlots {
			if !s.fits(len(put.Value), len(b.Counters)) {
				return fmt.Errorf("store: put %d: slot %+v does not fit the value", i, s)
			}
		}
	}
	return nil
}

func (s Slot) fits(size, counters int) bool {
	return (s.Width == 4 || s.Width == 8) && s.At >= 0 && s.At+s.Width <= size && s.Counter >= 0 && s.Counter < counters
}

// Advance returns the counter's number when it was n, or ErrLimit; that is also what a number gives that would not fit 64 bits.
func (c *Counter) Advance(n int64) (int64, error) {
	sum := n + c.Add
	over := c.Add > 0 && (sum < n || c.Limit != 0 && sum > c.Limit)
	if over || c.Add < 0 && sum > n {
		return 0, fmt.Errorf("%w: counter %q is %d, adding %d", ErrLimit, c.Key, n, c.Add)
	}
	return sum, nil
}

// VersionOf returns the version of a key as of now; Absent if it does not exist. Errors: those of Snapshot and Get.
func VersionOf(st Store, key []byte) (Version, error) {
	snap, err := st.Snapshot()
	if err != nil {
		return Absent, err
	}
	defer snap.Close()
	_, version, err := snap.Get(key)
	if errors.Is(err, ErrNotFound) {
		return Absent, nil
	}
	return version, err
}
