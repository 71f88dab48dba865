package bodies

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"waybill/internal/store"
	"waybill/internal/store/keys"
	"waybill/internal/store/objects"
	"waybill/internal/store/record"
)

// sweepBatch is how many marks are looked at in one snapshot and settled in one batch.
const sweepBatch = 256

// Sweep deletes the bodies that nobody holds any more, and the drafts that were never finished: at the first call
// all that earlier processes left, unless the store is shared, later those that this process does not work on and has seen unchanged for maxAge. It returns the
// number of bodies and drafts deleted. Their objects go last; where the object store is away, which it tells itself, they wait for the next call.
func (s *Bodies) Sweep(ctx context.Context, maxAge time.Duration) (n int, err error) {
	n, err = s.sweepDrafts(ctx, maxAge)
	if err != nil {
		return n, fmt.Errorf("sweep drafts: %w", err)
	}
	deleted, err := s.sweepBodies(ctx)
	n += deleted
	if err != nil {
		return n, fmt.Errorf("sweep bodies: %w", err)
	}
	if err := s.sweepObjects(ctx); err != nil && !errors.Is(err, objects.ErrUnavailable) {
		return n, fmt.Errorf("sweep objects: %w", err)
	}
	return n, nil
}

// sweepBodies settles all marks of bodies that were let go.
func (s *Bodies) sweepBodies(ctx context.Context) (n int, err error) {
	after := keys.Sweeps()
	for after != nil {
		var deleted int
		deleted, after, err = s.sweepMarks(ctx, after)
		n += deleted
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// marked is a body with the marks that were found for it; they stand side by side.
type marked struct {
	id      ID
	chunks  uint64
	objects bool
	marks   []store.Check
}

// sweepMarks settles the marks from start on, at most sweepBatch, and returns where to go on; nil at the end.
func (s *Bodies) sweepMarks(ctx context.Context, start []byte) (n int, next []byte, err error) {
	if err := ctx.Err(); err != nil {
		return 0, nil, err
	}
	snap, err := s.st.Snapshot()
	if err != nil {
		return 0, nil, err
	}
	defer snap.Close()
	found, next, err := readMarks(snap, start)
	if err != nil {
		return 0, nil, err
	}
	var all sweeping
	singles := make([]sweeping, len(found))
	for i, m := range found {
		held, err := isHeld(snap, m.id)
		if err != nil {
			return 0, nil, err
		}
		all.settle(m, held)
		singles[i].settle(m, held)
	}
	n, err = all.commit(ctx, s.st)
	if !errors.Is(err, store.ErrConflict) {
		return n, next, err
	}
	// One of them changed meanwhile: each by itself, and that one the next time.
	for i := range singles {
		deleted, err := singles[i].commit(ctx, s.st)
		if err != nil && !errors.Is(err, store.ErrConflict) {
			return n, nil, err
		}
		n += deleted
	}
	return n, next, nil
}

// sweeping is a batch that settles marks.
type sweeping struct {
	batch   store.Batch
	deleted int // bodies
}

// settle adds the end of the marks and, unless it is held, of the body. The marks are checked: see the package
// comment.
func (w *sweeping) settle(m marked, held bool) {
	b := &w.batch
	b.Checks = append(b.Checks, m.marks...)
	for _, mark := range m.marks {
		b.Delete(mark.Key)
	}
	if held {
		return
	}
	w.deleted++
	if m.objects {
		doom(b, m.id)
	}
	if m.chunks == 1 {
		deleteSmall(b, m.id)
	} else {
		b.DeleteRanges = append(b.DeleteRanges, store.Prefix(keys.Chunks(m.id)))
	}
}

// deleteSmall adds the end of a body of one chunk: two deletions cost an engine less than one of a range.
func deleteSmall(b *store.Batch, id ID) {
	b.Delete(keys.Chunk(id, 0))
	b.Delete(keys.Index(id))
}

// commit returns the number of bodies deleted.
func (w *sweeping) commit(ctx context.Context, st store.Store) (int, error) {
	if len(w.batch.Checks) == 0 {
		return 0, nil
	}
	w.batch.Lazy = true
	if _, err := st.Commit(ctx, &w.batch); err != nil {
		return 0, err
	}
	return w.deleted, nil
}

// readMarks returns marked bodies from start on, each with all its marks, until they have sweepBatch marks or more.
func readMarks(snap store.Snapshot, start []byte) (found []marked, next []byte, err error) {
	count := 0
	for e, err := range snap.Scan(store.Range{Start: start, End: store.After(keys.Sweeps())}) {
		if err != nil {
			return nil, nil, err
		}
		id, ok := keys.ParseSweep(e.Key)
		if !ok {
			return nil, nil, fmt.Errorf("key %q: %w", e.Key, record.ErrCorrupt)
		}
		if len(found) == 0 || found[len(found)-1].id != id {
			if count >= sweepBatch {
				return found, append([]byte(nil), e.Key...), nil
			}
			found = append(found, marked{id: id})
		}
		chunks, size := binary.Uvarint(e.Value)
		if size <= 0 {
			return nil, nil, fmt.Errorf("value of key %q: %w", e.Key, record.ErrCorrupt)
		}
		m := &found[len(found)-1]
		m.chunks = max(m.chunks, chunks)
		m.objects = m.objects || len(e.Value) > size
		m.marks = append(m.marks, store.Check{Key: append([]byte(nil), e.Key...), Version: e.Version})
		count++
	}
	return found, nil, nil
}

func isHeld(snap store.Snapshot, id ID) (bool, error) {
	r := store.Prefix(keys.Refs(id))
	r.Limit = 1
	for _, err := range snap.Scan(r) {
		return true, err
	}
	return false, nil
}
