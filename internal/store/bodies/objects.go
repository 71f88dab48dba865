package bodies

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"waybill/internal/store"
	"waybill/internal/store/keys"
	"waybill/internal/store/objects"
	"waybill/internal/store/record"
)

// Objects is an object store, as package objects has it: what Put has returned nil for is there until it is deleted. Errors are those of
// that package.
type Objects interface {
	Put(ctx context.Context, key string, data []byte) error
	Create(ctx context.Context, key string, data []byte) (sure bool, err error)
	CallTime() time.Duration
	Get(ctx context.Context, key string, into []byte) error
	GetEnd(ctx context.Context, key string, size int64, into []byte) error
	Delete(ctx context.Context, key string) error
	List(ctx context.Context, prefix, after string) (found []objects.Object, more bool, err error)
}

// errNoObjects is for a body that lies where the configuration does not lead.
var errNoObjects = errors.New("it lies in an object store, and the configuration names none: set bodies as it was when the message came")

// unavailable makes the object store's being away, objects.ErrUnavailable, the store's too. The object store has told the log about it.
func unavailable(err error) error {
	if errors.Is(err, objects.ErrUnavailable) {
		return fmt.Errorf("%w: %w", err, store.ErrUnavailable)
	}
	return err
}

// objectsOf begins the keys of a body's objects, and objectKey is one of them. They sort by their numbers.
func objectsOf(id ID) string { return id.String() + "/" }

func objectKey(id ID, n uint32) string { return fmt.Sprintf("%s%08d", objectsOf(id), n) }

// objectBody returns whose object a key is; ok is false if it is none.
func objectBody(key string) (id ID, ok bool) {
	const digits = 2 * len(id)
	if len(key) != digits+len("/00000000") || key[digits] != '/' {
		return id, false
	}
	_, err := hex.Decode(id[:], []byte(key[:digits]))
	return id, err == nil && objectsOf(id) == key[:digits+1]
}

// hasObjects is the value of a mark whose draft has objects, or may have; that of others is empty.
var hasObjects = []byte{1}

// send writes the part as an object, durably. Before the first one the mark is made durable, so whatever is in the object store is known to the
// store. Before each other one the mark must still be as it was.
func (d *Draft) send() error {
	if err := d.s.claim(context.Background()); err != nil {
		return fmt.Errorf("draft %s: %w", d.id, err)
	}
	if err := d.markObjects(); err != nil {
		return fmt.Errorf("mark draft %s: %w", d.id, err)
	}
	if err := d.s.objects.Put(context.Background(), objectKey(d.id, d.written+1), d.tail[:d.used]); err != nil {
		return fmt.Errorf("draft %s: %w", d.id, unavailable(err))
	}
	d.written++
	d.used = 0
	return nil
}

// markObjects makes the mark, durably, or makes sure that it is there. Where other nodes sweep too it is written anew, by which they see that somebody is
// at work; that it is there is durable already.
func (d *Draft) markObjects() error {
	if d.objects && !d.s.shared {
		return d.checkMark()
	}
	b := store.Batch{Lazy: d.objects}
	b.Check(keys.Draft(d.begun, d.id), d.mark)
	b.Put(keys.Draft(d.begun, d.id), hasObjects)
	again := d.objects
	d.objects = true // also if the outcome is unknown
	result, err := d.s.st.Commit(context.Background(), &b)
	if again && errors.Is(err, store.ErrConflict) {
		return fmt.Errorf("it was swept: %w", err)
	}
	if err != nil {
		return err
	}
	d.mark = result.Version
	return nil
}

// checkMark makes sure that the mark was not swept.
func (d *Draft) checkMark() error {
	version, err := store.VersionOf(d.s.st, keys.Draft(d.begun, d.id))
	if err == nil && version != d.mark {
		return fmt.Errorf("it was swept: %w", store.ErrConflict)
	}
	return err
}

// finishObjects writes the last object, if the body is too large for the store.
func (d *Draft) finishObjects() error {
	if d.s.objects == nil || d.size <= d.s.inline || d.used == 0 {
		return nil
	}
	if err := d.flush(); err != nil {
		d.err = err
		return err
	}
	return nil
}

// doom leaves the draft to Sweep. Where its mark is not as it was, the draft was finished, by a batch of unknown outcome, or swept: then it is
// left only if it was not finished, for the sake of objects that came after the sweep.
func (d *Draft) doom(mark store.Check) {
	b := store.Batch{Lazy: true}
	b.Checks = append(b.Checks, mark)
	if mark.Version != store.Absent {
		b.Delete(mark.Key)
	}
	doom(&b, d.id)
	if _, err := d.s.st.Commit(context.Background(), &b); !errors.Is(err, store.ErrConflict) {
		return
	}
	b = store.Batch{Lazy: true}
	b.Check(mark.Key, store.Absent)
	b.Check(keys.Chunk(d.id, 0), store.Absent)
	doom(&b, d.id)
	_, _ = d.s.st.Commit(context.Background(), &b)
}

// doom adds to the batch the mark of objects that nobody needs any more. The batch must make sure of that.
func doom(b *store.Batch, id ID) { b.Put(keys.Doomed(id), hasObjects) }

// getObject reads a part of a body that is in objects.
func (s *Bodies) getObject(ctx context.Context, body Body, n uint32, into []byte) ([]byte, error) {
	if s.objects == nil {
		return nil, fmt.Errorf("read body %s: %w: %w", body.ID, errNoObjects, store.ErrUnavailable)
	}
	size := body.ChunkSize(n)
	if int64(cap(into)) < size {
		into = make([]byte, size)
	}
	into = into[:size]
	if err := s.objects.Get(ctx, objectKey(body.ID, n), into); err != nil {
		return nil, lostObject(err, body, n)
	}
	return into, nil
}

// getEnd reads the last octets of a body that is in objects, if they are all in the last one; ok is false if they are not.
func (s *Bodies) getEnd(ctx context.Context, body Body, into []byte) (ok bool, err error) {
	n := body.parts() - 1
	size := body.ChunkSize(n)
	if s.objects == nil || !body.InObjects || size < int64(len(into)) || len(into) == 0 {
		return false, nil
	}
	if err := s.objects.GetEnd(ctx, objectKey(body.ID, n), size, into); err != nil {
		return true, lostObject(err, body, n)
	}
	return true, nil
}

// lostObject says what it means that an object could not be read.
func lostObject(err error, body Body, n uint32) error {
	switch {
	case errors.Is(err, objects.ErrNotFound):
		return fmt.Errorf("read object %d of body %s: %w: %w", n, body.ID, err, store.ErrNotFound)
	case errors.Is(err, objects.ErrCorrupt):
		return fmt.Errorf("read object %d of body %s: %w: %w", n, body.ID, err, record.ErrCorrupt)
	}
	return fmt.Errorf("body %s: %w", body.ID, unavailable(err))
}

// ObjectSizes returns how many octets each object of a body has, the first at 0, as far as they are there: -1 for one that is missing. Errors:
// store.ErrUnavailable if the object store cannot be asked, or there is none.
func (s *Bodies) ObjectSizes(ctx context.Context, body Body) ([]int64, error) {
	if s.objects == nil {
		return nil, fmt.Errorf("body %s: %w: %w", body.ID, errNoObjects, store.ErrUnavailable)
	}
	sizes := map[string]int64{}
	err := s.eachObject(ctx, objectsOf(body.ID), func(o objects.Object) error {
		sizes[o.Key] = o.Size
		return nil
	})
	if err != nil {
		return nil, err
	}
	all := make([]int64, body.Objects())
	for i := range all {
		size, ok := sizes[objectKey(body.ID, uint32(i)+1)]
		if all[i] = size; !ok {
			all[i] = -1
		}
	}
	return all, nil
}

// eachObject calls do with each object whose key begins so, until that fails.
func (s *Bodies) eachObject(ctx context.Context, prefix string, do func(objects.Object) error) error {
	for after, more := "", true; more; {
		var page []objects.Object
		var err error
		if page, more, err = s.objects.List(ctx, prefix, after); err != nil {
			return unavailable(err)
		}
		for _, o := range page {
			if err := do(o); err != nil {
				return err
			}
			after = o.Key
		}
	}
	return nil
}
