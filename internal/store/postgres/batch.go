package postgres

import (
	"encoding/binary"
	"fmt"
	"sync"

	"waybill/internal/store"
)

const (
	// maxKey is the longest key: an entry of the server's B-tree must fit three times into a page.
	maxKey = 2600
	// maxBatch is how many octets the keys and values of a batch may have: a message of the protocol holds less than 1 GiB.
	maxBatch = 512 << 20
)

// check returns what is wrong with a batch, whatever is stored.
func check(b *store.Batch) error {
	if n := longestKey(b); n > maxKey {
		return fmt.Errorf("store: a key of %d octets, at most %d are possible", n, maxKey)
	}
	if n := sizeOf(b); n > maxBatch {
		return fmt.Errorf("store: a batch of %d octets, at most %d are possible", n, maxBatch)
	}
	return b.CheckSlots()
}

func longestKey(b *store.Batch) (n int) {
	for i := range b.Checks {
		n = max(n, len(b.Checks[i].Key))
	}
	for i := range b.Counters {
		n = max(n, len(b.Counters[i].Key))
	}
	for _, key := range b.Deletes {
		n = max(n, len(key))
	}
	for i := range b.Puts {
		n = max(n, len(b.Puts[i].Key))
	}
	return n
}

// arenas pools the memory of copies; larger ones are rare and not kept.
var arenas = sync.Pool{New: func() any { return new(arena) }}

const largestArena = 64 << 10

// clone copies a batch, because a writer may still be at it when its caller has been told that nothing is known. The copy
// lives in the arena.
func clone(b *store.Batch) (*store.Batch, *arena) {
	a := arenas.Get().(*arena)
	if size := sizeOf(b); cap(*a) < size {
		*a = make([]byte, 0, size)
	}
	c := &store.Batch{ID: b.ID, Lazy: b.Lazy}
	for _, x := range b.Checks {
		c.Checks = append(c.Checks, store.Check{Key: a.copy(x.Key), Version: x.Version})
	}
	for _, x := range b.Counters {
		c.Counters = append(c.Counters, store.Counter{Key: a.copy(x.Key), Add: x.Add, Limit: x.Limit})
	}
	for _, r := range b.DeleteRanges {
		if r.End != nil && string(r.Start) >= string(r.End) {
			continue // nothing is in it
		}
		start := a.copy(r.Start)
		var end []byte
		if r.End != nil {
			end = a.copy(r.End)
		}
		c.DeleteRanges = append(c.DeleteRanges, store.Range{Start: start, End: end})
	}
	for _, key := range b.Deletes {
		c.Deletes = append(c.Deletes, a.copy(key))
	}
	c.Puts = make([]store.Put, 0, len(b.Puts))
	for i := range b.Puts {
		p := &b.Puts[i]
		c.Puts = append(c.Puts, store.Put{
			Key: a.copy(p.Key), Value: a.copy(p.Value),
			KeySlots: append([]store.Slot(nil), p.KeySlots...), ValueSlots: append([]store.Slot(nil), p.ValueSlots...),
		})
	}
	return c, a
}

// arena is memory for many small copies.
type arena []byte

// free gives the memory back; nobody may look at the copies any more.
func (a *arena) free() {
	if cap(*a) <= largestArena {
		*a = (*a)[:0]
		arenas.Put(a)
	}
}

func (a *arena) copy(b []byte) []byte {
	n := len(*a)
	*a = append(*a, b...)
	return (*a)[n:len(*a):len(*a)]
}

func sizeOf(b *store.Batch) int {
	n := 0
	for i := range b.Checks {
		n += len(b.Checks[i].Key)
	}
	for i := range b.Counters {
		n += len(b.Counters[i].Key)
	}
	for _, r := range b.DeleteRanges {
		n += len(r.Start) + len(r.End)
	}
	for _, key := range b.Deletes {
		n += len(key)
	}
	for i := range b.Puts {
		n += len(b.Puts[i].Key) + len(b.Puts[i].Value)
	}
	return n
}

// filled returns b with the counters' numbers in their places; b itself if it has none.
func filled(b []byte, slots []store.Slot, counters []int64) []byte {
	if len(slots) == 0 {
		return b
	}
	b = append([]byte(nil), b...)
	for _, s := range slots {
		if s.Width == 4 {
			binary.BigEndian.PutUint32(b[s.At:], uint32(counters[s.Counter]))
		} else {
			binary.BigEndian.PutUint64(b[s.At:], uint64(counters[s.Counter]))
		}
	}
	return b
}

func encodeResult(r store.Result) []byte {
	v := binary.BigEndian.AppendUint64(make([]byte, 0, 8+8*len(r.Counters)), uint64(r.Version))
	for _, n := range r.Counters {
		v = binary.BigEndian.AppendUint64(v, uint64(n))
	}
	return v
}

func decodeResult(v []byte) (r store.Result, err error) {
	if len(v) < 8 || len(v)%8 != 0 {
		return r, fmt.Errorf("%w: a result of %d octets", errShortAnswer, len(v))
	}
	r.Version = store.Version(binary.BigEndian.Uint64(v))
	for v = v[8:]; len(v) > 0; v = v[8:] {
		r.Counters = append(r.Counters, int64(binary.BigEndian.Uint64(v)))
	}
	return r, nil
}
