package postgres

import (
	"context"
	"time"
)

// SweepLater cleans up as a keeper does that has seen the store as it is now for so long.
func (s *Store) SweepLater(ctx context.Context, after time.Duration) error {
	k := &keeper{s: s}
	defer k.drop()
	if err := k.pollOnce(ctx); err != nil { // it learns what there is
		return err
	}
	k.since = time.Now().Add(-after)
	for id, h := range k.heard {
		k.heard[id] = heard{h.seq, h.since.Add(-after)}
	}
	return k.sweep(ctx)
}
