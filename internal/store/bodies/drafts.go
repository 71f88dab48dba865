package bodies

import (
	"context"
	"errors"
	"fmt"
	"time"

	"waybill/internal/store"
	"waybill/internal/store/keys"
	"waybill/internal/store/record"
)

// sighting is since when a draft's mark has been seen as it is. That is told by this process's own clock, which nobody sets: by the time in
// the mark a node whose clock is ahead would sweep what others are at work on.
type sighting struct {
	version store.Version
	since   time.Time
}

// maxSightings bounds the marks that are remembered. The others' time begins when some of these are gone.
const maxSightings = 1 << 14

// sightings are the marks of drafts that nobody in this process works on, by key. A round of looking makes new ones from the old.
type sightings map[string]sighting

// see notes a mark in the next sightings, and returns for how long it has been as it is.
func (s sightings) see(next sightings, key []byte, version store.Version) time.Duration {
	seen, ok := s[string(key)]
	if !ok || seen.version != version {
		seen = sighting{version, time.Now()}
	}
	if len(next) < maxSightings {
		next[string(key)] = seen
	}
	return time.Since(seen.since)
}

// sweepDrafts deletes the drafts that nobody works on.
func (s *Bodies) sweepDrafts(ctx context.Context, maxAge time.Duration) (n int, err error) {
	s.sweeping.Lock()
	defer s.sweeping.Unlock()
	snap, err := s.st.Snapshot()
	if err != nil {
		return 0, err
	}
	defer snap.Close()
	r := store.Range{End: store.After(keys.Drafts())}
	_, r.Start = keys.AllDoomed() // those are not drafts any more
	all := !s.shared && !s.swept
	next := sightings{}
	for e, err := range snap.Scan(r) {
		if err != nil {
			return n, err
		}
		_, id, ok := keys.ParseDraft(e.Key)
		if !ok {
			return n, fmt.Errorf("key %q: %w", e.Key, record.ErrCorrupt)
		}
		if s.isLive(id) || !all && s.seen.see(next, e.Key, e.Version) < maxAge {
			continue
		}
		deleted, err := s.sweepDraft(ctx, e, id)
		if err != nil {
			return n, err
		}
		if deleted {
			n++
		}
	}
	s.swept, s.seen = true, next
	return n, nil
}

// sweepDraft deletes a draft, unless its mark has changed.
func (s *Bodies) sweepDraft(ctx context.Context, mark store.Entry, id ID) (deleted bool, err error) {
	b := store.Batch{Lazy: true}
	deleteDraft(&b, store.Check{Key: append([]byte(nil), mark.Key...), Version: mark.Version}, id)
	if len(mark.Value) > 0 {
		doom(&b, id)
	}
	_, err = s.st.Commit(ctx, &b)
	if errors.Is(err, store.ErrConflict) {
		return false, nil
	}
	return err == nil, err
}

func (s *Bodies) isLive(id ID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, live := s.live[id]
	return live
}
