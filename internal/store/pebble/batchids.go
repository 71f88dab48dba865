package pebble

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"waybill/internal/store"
)

// rememberFor is how long a batch's id is known at least.
const rememberFor = 10 * time.Minute

// batchIDs remembers the ids of batches in two buckets. Every ten minutes a new one is begun and the older one
// forgotten with one range deletion. Buckets are numbered, not dated, so that no step of the clock makes an id
// forgotten early; after a restart the last bucket goes on.
type batchIDs struct {
	bucket uint64
	since  time.Time // monotonic
}

func bucketKey(bucket uint64) []byte {
	return binary.BigEndian.AppendUint64(append(make([]byte, 0, 2+8+16), internalPrefix, 'b'), bucket)
}

func (m *batchIDs) recover(db *pebble.DB) error {
	m.bucket, m.since = 1, time.Now()
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: bucketKey(0), UpperBound: []byte{internalPrefix, 'b' + 1}})
	if err != nil {
		return err
	}
	if it.Last() && len(it.Key()) >= 10 {
		m.bucket = binary.BigEndian.Uint64(it.Key()[2:])
	}
	return it.Close()
}

// find returns what the batch with that id was given, if it is known.
func (m *batchIDs) find(g *generation, id store.BatchID) (r store.Result, known bool, err error) {
	for _, bucket := range [2]uint64{m.bucket, m.bucket - 1} {
		v, err := g.get(append(bucketKey(bucket), id[:]...))
		if errors.Is(err, pebble.ErrNotFound) {
			continue
		}
		if err != nil {
			return r, false, fmt.Errorf("%w: batch id %x: %w", store.ErrUnavailable, id, err)
		}
		return decodeResult(v), true, nil
	}
	return r, false, nil
}

// remember adds the id and its result to the batch that it names, and the range deletion when one is due.
func (m *batchIDs) remember(b *pebble.Batch, id store.BatchID, r store.Result) error {
	if time.Since(m.since) >= rememberFor {
		if err := b.DeleteRange(bucketKey(0), bucketKey(m.bucket), nil); err != nil {
			return err
		}
		m.bucket, m.since = m.bucket+1, time.Now()
	}
	return b.Set(append(bucketKey(m.bucket), id[:]...), encodeResult(r), nil)
}

func encodeResult(r store.Result) []byte {
	v := binary.BigEndian.AppendUint64(make([]byte, 0, 8+8*len(r.Counters)), uint64(r.Version))
	for _, n := range r.Counters {
		v = binary.BigEndian.AppendUint64(v, uint64(n))
	}
	return v
}

func decodeResult(v []byte) (r store.Result) {
	if len(v) < 8 {
		return r
	}
	r.Version = store.Version(binary.BigEndian.Uint64(v))
	for v = v[8:]; len(v) >= 8; v = v[8:] {
		r.Counters = append(r.Counters, int64(binary.BigEndian.Uint64(v)))
	}
	return r
}
