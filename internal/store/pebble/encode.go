package pebble

import (
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"waybill/internal/store"
)

const (
	internalPrefix = 0x00
	userPrefix     = 0x01
	versionSize    = 8
)

var reservedKey = []byte{internalPrefix, 'v'}

// write is a batch in Pebble's encoding, with the places that get their numbers only when it is applied.
type write struct {
	batch    *pebble.Batch
	data     []byte // its encoding, from number on
	counters []int  // place of each counter's value: version, number
	puts     []place
}

// place is where a put's key (after its prefix) and value (with the version in front) lie in the encoding.
type place struct{ key, value int }

// writes pools the lists of places; the encodings are pooled by Pebble.
var writes = sync.Pool{New: func() any { return new(write) }}

// encode lays out b in the order of evaluation: counters, delete ranges, deletes, puts.
func encode(db *pebble.DB, b *store.Batch) (*write, error) {
	if err := b.CheckSlots(); err != nil {
		return nil, err
	}
	w := writes.Get().(*write)
	w.batch = db.NewBatchWithSize(encodedSize(b), pebble.WithMaxRetainedSizeBytes(64<<10))
	for i := range b.Counters {
		p := w.set(b.Counters[i].Key, 8)
		w.counters = append(w.counters, p.value)
	}
	for i := range b.DeleteRanges {
		start, end := bounds(b.DeleteRanges[i])
		if string(start) >= string(end) {
			continue
		}
		if err := w.batch.DeleteRange(start, end, nil); err != nil {
			return nil, fmt.Errorf("encode batch: %w", err)
		}
	}
	for _, key := range b.Deletes {
		op := w.batch.DeleteDeferred(1 + len(key))
		op.Key[0] = userPrefix
		copy(op.Key[1:], key)
		if err := op.Finish(); err != nil {
			return nil, fmt.Errorf("encode batch: %w", err)
		}
	}
	for i := range b.Puts {
		put := &b.Puts[i]
		p := w.set(put.Key, len(put.Value))
		copy(w.batch.Repr()[p.value+versionSize:], put.Value)
		w.puts = append(w.puts, p)
	}
	return w, nil
}

// set adds the write of a key whose value has size octets after the version, and says where both lie.
func (w *write) set(key []byte, size int) place {
	at := w.batch.Len() + 1 // after the kind
	op := w.batch.SetDeferred(1+len(key), versionSize+size)
	op.Key[0] = userPrefix
	copy(op.Key[1:], key)
	_ = op.Finish() // fails only for indexed batches
	p := place{key: at + uvarintSize(1+len(key)) + 1}
	p.value = p.key + len(key) + uvarintSize(versionSize+size)
	return p
}

// number writes the version and the counters' numbers into their places.
func (w *write) number(b *store.Batch, version uint64, counters []int64) {
	w.data = w.batch.Repr() // Pebble takes it out of a batch that is as large as a table
	data := w.data
	for i, at := range w.counters {
		binary.BigEndian.PutUint64(data[at:], version)
		binary.BigEndian.PutUint64(data[at+versionSize:], uint64(counters[i]))
	}
	for i, p := range w.puts {
		binary.BigEndian.PutUint64(data[p.value:], version)
		for _, slot := range b.Puts[i].KeySlots {
			fill(data[p.key+slot.At:], slot, counters)
		}
		for _, slot := range b.Puts[i].ValueSlots {
			fill(data[p.value+versionSize+slot.At:], slot, counters)
		}
	}
}

func fill(at []byte, slot store.Slot, counters []int64) {
	if slot.Width == 4 {
		binary.BigEndian.PutUint32(at, uint32(counters[slot.Counter]))
		return
	}
	binary.BigEndian.PutUint64(at, uint64(counters[slot.Counter]))
}

// putKey is the key of put i, with its slots filled.
func (w *write) putKey(b *store.Batch, i int) []byte {
	return w.data[w.puts[i].key:][:len(b.Puts[i].Key)]
}

// free gives the buffers back. The batch must not be under way any more.
func (w *write) free() {
	_ = w.batch.Close()
	*w = write{counters: w.counters[:0], puts: w.puts[:0]}
	writes.Put(w)
}

// encodedSize is an upper bound, so that the encoding does not move while it grows.
func encodedSize(b *store.Batch) int {
	const header, entry = 12, 1 + 2*5 + 1 + versionSize
	n := header + 128 // a reservation of versions and a batch id
	for i := range b.Counters {
		n += entry + len(b.Counters[i].Key) + 8
	}
	for i := range b.DeleteRanges {
		n += entry + len(b.DeleteRanges[i].Start) + len(b.DeleteRanges[i].End)
	}
	for _, key := range b.Deletes {
		n += entry + len(key)
	}
	for i := range b.Puts {
		n += entry + len(b.Puts[i].Key) + len(b.Puts[i].Value)
	}
	return n + 16*len(b.Counters)
}

// bounds are the internal keys of a range, of which a nil start or end is the start or end of all user keys.
func bounds(r store.Range) (start, end []byte) {
	start = append([]byte{userPrefix}, r.Start...)
	if r.End == nil {
		return start, []byte{userPrefix + 1}
	}
	return start, append([]byte{userPrefix}, r.End...)
}

func uvarintSize(n int) int {
	size := 1
	for ; n >= 0x80; n >>= 7 {
		size++
	}
	return size
}
