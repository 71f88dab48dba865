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

// WithLockWait has the store wait for a lock no longer than that.
func (o Options) WithLockWait(d time.Duration) Options {
	o.lockWait = d
	return o
}

// WithIdleWait has the server wait for the second halves of transactions for so long.
func (o Options) WithIdleWait(d time.Duration) Options {
	o.idleWait = d
	return o
}

// Waiting is how many batches no writer has taken yet.
func (s *Store) Waiting() int {
	s.queue.mu.Lock()
	defer s.queue.mu.Unlock()
	return len(s.queue.waiting)
}

// Release is another release of this program: it knows the schemas from oldest on, the newest of which these further
// steps make of ours.
type Release struct{ schemas }

// NewRelease returns a release that needs schema oldest at least.
func NewRelease(oldest int64, further ...[]string) *Release {
	steps := append(append([][]string(nil), migrations...), further...)
	return &Release{schemas{oldest: oldest, newest: int64(len(steps)), migrations: steps}}
}

// Open is Open of that release.
func (r *Release) Open(o Options) (*Store, error) {
	o.schemas = &r.schemas
	return Open(o)
}

// Migrate is Migrate of that release.
func (r *Release) Migrate(ctx context.Context, url string) (Migration, error) {
	return r.migrate(ctx, url)
}
