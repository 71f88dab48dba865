package bodies

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"waybill/internal/store"
	"waybill/internal/store/keys"
	"waybill/internal/store/objects"
	"waybill/internal/store/record"
)

// sweepObjects deletes the objects of all doomed bodies, and then their marks.
func (s *Bodies) sweepObjects(ctx context.Context) error {
	if s.objects == nil {
		return nil
	}
	start, _ := keys.AllDoomed()
	for start != nil {
		found, next, err := s.readDoomed(start)
		if err != nil || len(found) == 0 {
			return err
		}
		// Whatever made the marks is durable from here on: no crash brings back a reference to what is deleted now.
		if err := s.st.Barrier(ctx); err != nil {
			return err
		}
		if err := s.bury(ctx, found); err != nil {
			return err
		}
		start = next
	}
	return nil
}

// deleters is how many bodies lose their objects at the same time.
const deleters = 8

// bury deletes the objects of doomed bodies, whose marks are durable, and the marks. It returns the first error, after which it begins no other body.
func (s *Bodies) bury(ctx context.Context, found []doomed) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	work := make(chan doomed)
	var all sync.WaitGroup
	for range min(deleters, len(found)) {
		all.Go(func() {
			for d := range work {
				if err := s.buryOne(ctx, d); err != nil {
					cancel(err)
				}
			}
		})
	}
	for _, d := range found {
		if ctx.Err() != nil {
			break
		}
		work <- d
	}
	close(work)
	all.Wait()
	return context.Cause(ctx)
}

func (s *Bodies) buryOne(ctx context.Context, d doomed) error {
	if err := s.deleteObjects(ctx, d.id); err != nil {
		return err
	}
	b := store.Batch{Lazy: true}
	b.Checks = append(b.Checks, d.mark)
	b.Delete(d.mark.Key)
	if _, err := s.st.Commit(ctx, &b); err != nil && !errors.Is(err, store.ErrConflict) { // with it, another node was as far
		return err
	}
	return nil
}

// doomed is a body whose objects are to be deleted.
type doomed struct {
	id   ID
	mark store.Check
}

// readDoomed returns doomed bodies from start on, at most sweepBatch, and where to go on; nil at the end.
func (s *Bodies) readDoomed(start []byte) (found []doomed, next []byte, err error) {
	snap, err := s.st.Snapshot()
	if err != nil {
		return nil, nil, err
	}
	defer snap.Close()
	_, end := keys.AllDoomed()
	for e, err := range snap.Scan(store.Range{Start: start, End: end}) {
		if err != nil {
			return nil, nil, err
		}
		key := append([]byte(nil), e.Key...)
		if len(found) == sweepBatch {
			return found, key, nil
		}
		_, id, ok := keys.ParseDraft(key)
		if !ok {
			return nil, nil, fmt.Errorf("key %q: %w", key, record.ErrCorrupt)
		}
		found = append(found, doomed{id, store.Check{Key: key, Version: e.Version}})
	}
	return found, nil, nil
}

func (s *Bodies) deleteObjects(ctx context.Context, id ID) error {
	return s.eachObject(ctx, objectsOf(id), func(o objects.Object) error {
		return unavailable(s.objects.Delete(ctx, o.Key))
	})
}

// Collect looks through all objects for those that no mark and no body tells of, and that are older than minAge: what a write left that came
// after everything about it was swept. It returns how many it deleted. Nothing is deleted unless the store has said that it knows nothing of
// the body, and the place, asked afresh before each deletion, that it is this store's. Errors: ErrForeign, or that the place does not say any more whose it is;
// those of the two stores; where the object store is away, it has told that itself.
func (s *Bodies) Collect(ctx context.Context, minAge time.Duration) (n int, err error) {
	if s.objects == nil {
		return 0, nil
	}
	if err := s.claim(ctx); err != nil {
		return 0, fmt.Errorf("collect orphans: %w", err)
	}
	before := time.Now().Add(-minAge)
	known, orphan := ID{}, false // of the body that was asked for last: its objects stand side by side
	err = s.eachObject(ctx, "", func(o objects.Object) error {
		id, ok := objectBody(o.Key)
		if !ok || !o.Modified.Before(before) || !begunAt(id).Before(before) {
			return nil // not ours, or young
		}
		if id != known {
			if orphan, err = s.isOrphan(id); err != nil {
				return err
			}
			known = id
		}
		if !orphan {
			return nil
		}
		if err := s.owns(ctx); err != nil {
			return err
		}
		n++
		return unavailable(s.objects.Delete(ctx, o.Key))
	})
	if err != nil {
		return n, fmt.Errorf("collect orphans: %w", err)
	}
	return n, nil
}

// isOrphan says whether the store has neither the body nor a mark of it. Then it never will again: a body begins with its mark.
func (s *Bodies) isOrphan(id ID) (bool, error) {
	snap, err := s.st.Snapshot()
	if err != nil {
		return false, err
	}
	defer snap.Close()
	for _, key := range [][]byte{keys.Chunk(id, 0), keys.Draft(begunAt(id), id), keys.Doomed(id)} {
		_, _, err := snap.Get(key)
		if err == nil {
			return false, nil
		}
		if !errors.Is(err, store.ErrNotFound) {
			return false, err
		}
	}
	return true, nil
}

// begunAt is when a draft began, by the id of its body.
func begunAt(id ID) time.Time {
	var ms [8]byte
	copy(ms[2:], id[:6])
	return time.UnixMilli(int64(binary.BigEndian.Uint64(ms[:])))
}
