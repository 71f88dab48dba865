package storecopy

import (
	"bytes"
	"context"
	"encoding/binary"
	"hash"

	"waybill/internal/store"
	"waybill/internal/store/keys"
)

// A page, and so a batch, has no more keys and, but for one large value, no more octets than this. Of each store that is read
// three pages are in memory at most.
const (
	pageKeys   = 1000
	pageOctets = 4 << 20
)

// entry is a key with its value, and the version that it has where it was read.
type entry struct {
	key, value []byte
	version    store.Version
}

func (e *entry) size() int { return len(e.key) + len(e.value) }

// hash adds the entry, with its lengths in front: so that no two stores have the same sum.
func (e *entry) hash(h hash.Hash) {
	var lengths [16]byte
	binary.BigEndian.PutUint64(lengths[:8], uint64(len(e.key)))
	binary.BigEndian.PutUint64(lengths[8:], uint64(len(e.value)))
	h.Write(lengths[:])
	h.Write(e.key)
	h.Write(e.value)
}

func same(a, b *entry) bool {
	return a != nil && b != nil && bytes.Equal(a.key, b.key) && bytes.Equal(a.value, b.value)
}

// reading is a store that is being read, some pages ahead.
type reading struct {
	pages chan []entry
	err   error // once pages is closed
}

// read reads the keys behind last, in order, until ctx is done.
func read(ctx context.Context, st store.Store, last []byte) *reading {
	r := &reading{pages: make(chan []entry, 1)}
	go func() {
		defer close(r.pages)
		for {
			page, more, err := readPage(ctx, st, last)
			if err != nil {
				r.err = err
				return
			}
			if len(page) > 0 {
				last = page[len(page)-1].key
				select {
				case r.pages <- page:
				case <-ctx.Done():
					r.err = ctx.Err()
					return
				}
			}
			if !more {
				return
			}
		}
	}()
	return r
}

// readPage reads the next entries that are copied, and says whether there may be more behind them.
func readPage(ctx context.Context, st store.Store, last []byte) (page []entry, more bool, err error) {
	snap, err := st.Snapshot()
	if err != nil {
		return nil, false, err
	}
	defer snap.Close()
	var start []byte
	if last != nil {
		start = append(bytes.Clone(last), 0)
	}
	octets := 0
	for e, err := range snap.Scan(store.Range{Start: start}) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, false, err
		}
		if stays(e.Key) {
			continue
		}
		page = append(page, entry{bytes.Clone(e.Key), bytes.Clone(e.Value), e.Version})
		if octets += len(e.Key) + len(e.Value); octets >= pageOctets || len(page) == pageKeys {
			return page, true, nil
		}
	}
	return page, false, nil
}

// stays says whether a key is not copied.
func stays(key []byte) bool {
	for _, prefix := range keys.OfNodes() {
		if bytes.HasPrefix(key, prefix) {
			return true
		}
	}
	return bytes.Equal(key, keys.Copying())
}

// merge goes through two stores in the order of their keys.
type merge struct {
	from, to           *reading
	fromPage, toPage   []entry
	fromEnded, toEnded bool
}

// next returns the entries of the next key, of which one may be nil, in the target and in the source.
func (m *merge) next() (have, want *entry, ok bool) {
	want = head(m.from, &m.fromPage, &m.fromEnded)
	have = head(m.to, &m.toPage, &m.toEnded)
	if m.fromEnded && m.from.err != nil || m.toEnded && m.to.err != nil {
		return nil, nil, false // what does not come any more is not missing
	}
	switch {
	case want == nil && have == nil:
		return nil, nil, false
	case have == nil || want != nil && bytes.Compare(want.key, have.key) < 0:
		have, m.fromPage = nil, m.fromPage[1:]
	case want == nil || bytes.Compare(have.key, want.key) < 0:
		want, m.toPage = nil, m.toPage[1:]
	default:
		m.fromPage, m.toPage = m.fromPage[1:], m.toPage[1:]
	}
	return have, want, true
}

// head returns the first entry that was not gone through, or nil.
func head(r *reading, page *[]entry, ended *bool) *entry {
	for len(*page) == 0 {
		p, ok := <-r.pages
		if !ok {
			*ended = true
			return nil
		}
		*page = p
	}
	return &(*page)[0]
}

// err returns why a store could not be read to its end.
func (m *merge) err() error {
	if m.fromEnded && m.from.err != nil {
		return m.from.err
	}
	if m.toEnded && m.to.err != nil {
		return m.to.err
	}
	return nil
}
