package bodies

import (
	"context"
	"errors"
	"fmt"
	"time"

	"waybill/internal/store"
	"waybill/internal/store/keys"
)

// headRoom is kept free before the first octets of a draft, for the prefix: so a small message is copied once, from
// the network's buffer into its value.
const headRoom = 2 << 10

type head [headRoom + headSize]byte

// Draft is a message that comes in. It takes memory with the first Write and gives it back with Discard, which must
// be called in the end. It is not safe for concurrent use.
type Draft struct {
	s    *Bodies
	size int64
	err  error // the first error of a Write; the draft is of no use after it

	head *head  // the prefix's room and the first headSize octets; nil before the first Write
	tail []byte // the part that is being filled; nil if there is none
	used int    // octets in tail

	id        ID
	begun     time.Time
	live      bool          // Sweep knows that it is worked on
	written   uint32        // chunks in the store, or objects
	mark      store.Version // of the mark, as the last chunk's batch wrote it
	objects   bool          // what is written, or was to be, is in objects
	committed bool
	index     []byte // of its parts; nil: none
}

// NewDraft returns an empty draft.
func (s *Bodies) NewDraft() *Draft {
	now := time.Now()
	return &Draft{s: s, id: newID(now), begun: now}
}

// Size is the number of octets written.
func (d *Draft) Size() int64 { return d.size }

// SetIndex gives the body an index of its parts, which is kept with it (Bodies.Index).
func (d *Draft) SetIndex(index []byte) { d.index = index }

// Write implements io.Writer. Errors are those of store.Store.Commit; they say that the store cannot take more.
func (d *Draft) Write(p []byte) (int, error) {
	total := len(p)
	if d.err != nil {
		return 0, d.err
	}
	if d.head == nil {
		d.head = d.s.heads.Get().(*head)
	}
	if d.size < headSize {
		n := copy(d.head[headRoom+d.size:], p)
		p = p[n:]
		d.size += int64(n)
	}
	for len(p) > 0 {
		if d.tail == nil {
			d.tail = d.s.takeTail()
		}
		if d.used == len(d.tail) {
			if d.err = d.flush(); d.err != nil {
				return total - len(p), d.err
			}
		}
		n := copy(d.tail[d.used:], p)
		p = p[n:]
		d.used += n
		d.size += int64(n)
	}
	return total, nil
}

// takeTail takes room for a part.
func (s *Bodies) takeTail() []byte {
	if s.objects != nil {
		return s.large.Get().(*[objectSize]byte)[:]
	}
	return s.chunks.Get().(*[chunkSize]byte)[:]
}

func (s *Bodies) giveTail(tail []byte) {
	if len(tail) == objectSize {
		s.large.Put((*[objectSize]byte)(tail))
		return
	}
	s.chunks.Put((*[chunkSize]byte)(tail))
}

// flush writes the full part: a chunk without waiting for the disk. The mark is written anew with every chunk, in a chain
// of checks: whoever finds the last mark has all chunks.
func (d *Draft) flush() error {
	if !d.live {
		d.s.keepLive(d.id)
		d.live = true
	}
	if d.s.objects != nil {
		return d.send()
	}
	mark := keys.Draft(d.begun, d.id)
	b := store.Batch{Lazy: true}
	b.Check(mark, d.mark)
	b.Put(mark, nil)
	b.Put(keys.Chunk(d.id, d.written+1), d.tail[:d.used])
	result, err := d.s.st.Commit(context.Background(), &b)
	if err != nil {
		return fmt.Errorf("write chunk %d of draft %s: %w", d.written+1, d.id, err)
	}
	d.written++
	d.mark = result.Version
	d.used = 0
	return nil
}

// Finish adds to the batch what makes the draft a body, held by h: prefix and all that is not in the store yet. If h is
// "", the batch must also have a Reference that is made from no other. The batch refers to the draft's memory: Discard comes after its commit. Finish may be called again with another batch
// after a conflict; the body is the same. The first time it writes the last object of a body that is in objects, and fails if that does.
func (d *Draft) Finish(b *store.Batch, prefix []byte, h Holder) (Body, error) {
	if d.err != nil {
		return Body{}, d.err
	}
	if d.committed {
		return Body{}, errors.New("finish draft " + d.id.String() + ": it is committed already")
	}
	if d.head == nil {
		d.head = d.s.heads.Get().(*head)
	}
	if err := d.finishObjects(); err != nil {
		return Body{}, err
	}
	if d.written > 0 {
		mark := keys.Draft(d.begun, d.id)
		b.Check(mark, d.mark)
		b.Delete(mark)
	}
	b.Put(keys.Chunk(d.id, 0), d.first(prefix))
	if d.index != nil {
		b.Put(keys.Index(d.id), d.index)
	}
	for n, rest := d.written+1, d.tail[:d.used]; len(rest) > 0; n++ {
		size := min(len(rest), chunkSize)
		b.Put(keys.Chunk(d.id, n), rest[:size])
		rest = rest[size:]
	}
	if h != "" {
		b.Put(keys.Ref(d.id, string(h)), nil)
	}
	return Body{ID: d.id, PrefixSize: int64(len(prefix)), Size: d.size, InObjects: d.objects}, nil
}

// first is chunk 0.
func (d *Draft) first(prefix []byte) []byte {
	end := headRoom + int(min(d.size, headSize))
	if len(prefix) <= headRoom {
		copy(d.head[headRoom-len(prefix):], prefix)
		return d.head[headRoom-len(prefix) : end]
	}
	return append(append(make([]byte, 0, len(prefix)+end-headRoom), prefix...), d.head[headRoom:end]...)
}

// Committed says that a batch with Finish is durable or will be: Discard then deletes nothing.
func (d *Draft) Committed() { d.committed = true }

// Discard gives the memory back and, unless the draft was committed, deletes its chunks. It may be called again.
func (d *Draft) Discard() {
	if d.head != nil {
		d.s.heads.Put(d.head)
	}
	if d.tail != nil {
		d.s.giveTail(d.tail)
	}
	d.head, d.tail = nil, nil
	if d.err == nil {
		d.err = errDiscarded
	}
	if !d.live {
		return
	}
	if !d.committed {
		d.remove()
	}
	d.s.dropLive(d.id)
	d.live = false
}

// remove deletes what the draft has written. If the outcome of a commit was unknown, the mark says whether it was applied. What is left,
// Sweep deletes, and all objects: they can take their time.
func (d *Draft) remove() {
	mark := store.Check{Key: keys.Draft(d.begun, d.id), Version: d.mark}
	b := store.Batch{Lazy: true}
	switch {
	case d.objects:
		d.doom(mark)
	case d.written > 0:
		deleteDraft(&b, mark, d.id)
		_, _ = d.s.st.Commit(context.Background(), &b)
	}
}

var errDiscarded = errors.New("the draft was discarded")

// deleteDraft adds to the batch the end of a draft, if its mark is still as it was.
func deleteDraft(b *store.Batch, mark store.Check, id ID) {
	b.Checks = append(b.Checks, mark)
	b.Delete(mark.Key)
	b.DeleteRanges = append(b.DeleteRanges, store.Prefix(keys.Chunks(id)))
}

func (s *Bodies) keepLive(id ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live[id] = struct{}{}
}

func (s *Bodies) dropLive(id ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.live, id)
}
