// Package bodies keeps the contents of messages: each once, whoever refers to it, in parts that are small enough to
// stream.
//
// # Form
//
// A body is a prefix (the header fields that we added) and the octets that were received. Chunk 0 holds the prefix
// and the first 64 KiB, so a small message is one key; the others hold 256 KiB each. A body never changes. What was learnt of
// its parts while it came in stands beside the chunks, under a number that none of them has.
//
// # Life
//
// While a message comes in it is a Draft: up to 64 KiB in memory, and beyond that chunks that are written under the
// draft's id without waiting for the disk. Each chunk's batch writes the draft's mark anew after checking the one
// before; Finish checks the last mark. So a draft is finished only if the store still has all its chunks, also when
// it failed and came back meanwhile, and as a durable batch makes all before it durable, no body is ever torn.
//
// A finished body lives as long as a key ref/<body>/<holder> exists. Finish makes the first, or whoever it leaves that to in
// the same batch; Refer makes another only
// from one whose key it checks in the same batch: so a body without references stays without. Release drops one and
// leaves a mark for Sweep, unless the same batch made another reference, whose own release will leave it; End drops the only
// one that there ever was, and with it the body if that is small. Sweep looks
// at marked bodies, and deletes those without references in a batch that checks the marks: if the batch that dropped
// the last reference is lost in a crash, its mark is lost too, and nothing is deleted.
//
// There is no counting, so nothing can be counted wrong.
package bodies

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	"crypto/rand"

	"waybill/internal/store"
	"waybill/internal/store/keys"
	"waybill/internal/store/record"
)

const (
	headSize  = 64 << 10  // octets of the message in chunk 0, at most
	chunkSize = 256 << 10 // octets in each further chunk but the last
)

// ID names a body: the time in milliseconds (6 octets), so that neighbours in time are neighbours on disk, and
// randomness.
type ID [16]byte

func newID(now time.Time) (id ID) {
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(now.UnixMilli()))
	copy(id[:], ms[2:])
	rand.Read(id[6:]) // never fails, since Go 1.24
	return id
}

// String returns the ID in hexadecimal.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// MarshalText makes an ID a JSON string.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (id *ID) UnmarshalText(b []byte) error {
	if len(b) != hex.EncodedLen(len(id)) {
		return fmt.Errorf("a body id has %d hexadecimal digits, %q has not", hex.EncodedLen(len(id)), b)
	}
	_, err := hex.Decode(id[:], b)
	return err
}

// Holder is who keeps a body alive; keys.SpoolHolder and keys.Box.Holder make them.
type Holder string

// Body is what a holder needs to know of a body. Sizes are in octets.
type Body struct {
	ID         ID    `json:"id"`
	PrefixSize int64 `json:"prefixSize"`
	Size       int64 `json:"size"` // without the prefix
}

// Total is the size with the prefix.
func (b Body) Total() int64 { return b.PrefixSize + b.Size }

// Chunks is the number of keys that the body takes, and ChunkSize how many octets the n-th of them has, from 0.
func (b Body) Chunks() uint32 { return b.chunks() }

// ChunkSize is told with Chunks.
func (b Body) ChunkSize(n uint32) int64 {
	from, to := b.bounds(n)
	return to - from
}

// chunks is the number of keys that the body takes.
func (b Body) chunks() uint32 {
	beyond := max(b.Size-headSize, 0)
	return uint32(1 + (beyond+chunkSize-1)/chunkSize)
}

// bounds are the places, in prefix and body taken together, at which chunk n begins and ends.
func (b Body) bounds(n uint32) (from, to int64) {
	head := b.PrefixSize + headSize
	if n == 0 {
		return 0, min(head, b.Total())
	}
	from = head + int64(n-1)*chunkSize
	return from, min(from+chunkSize, b.Total())
}

// at returns the chunk in which place offset is.
func (b Body) at(offset int64) uint32 {
	beyond := offset - b.PrefixSize - headSize
	if beyond < 0 {
		return 0
	}
	return uint32(1 + beyond/chunkSize)
}

// Append adds the body to a stored value; Read reads it there.
func (b Body) Append(value []byte) []byte {
	value = append(value, b.ID[:]...)
	value = binary.AppendUvarint(value, uint64(b.PrefixSize))
	return binary.AppendUvarint(value, uint64(b.Size))
}

// maxSize bounds the sizes that are believed of a stored value, far above any message.
const maxSize = 1 << 40

// Read reads what Append wrote.
func Read(r *record.Reader) (b Body) {
	copy(b.ID[:], r.Fixed(len(b.ID)))
	b.PrefixSize, b.Size = r.Size(), r.Size()
	if b.PrefixSize > maxSize || b.Size > maxSize {
		r.Fail()
		return Body{}
	}
	return b
}

// Bodies is the bodies of a store. It is safe for concurrent use.
type Bodies struct {
	st     store.Store
	heads  sync.Pool // of *[headRoom + headSize]byte
	chunks sync.Pool // of *[chunkSize]byte

	mu    sync.Mutex
	live  map[ID]struct{} // drafts of this process that have chunks in the store
	swept bool            // the drafts of earlier processes are gone
}

// New returns the bodies in st.
func New(st store.Store) *Bodies {
	return &Bodies{
		st:     st,
		heads:  sync.Pool{New: func() any { return new(head) }},
		chunks: sync.Pool{New: func() any { return new([chunkSize]byte) }},
		live:   map[ID]struct{}{},
	}
}

// Reference is a further holder of a body, made from one that holds it already; or, where From is "", by the batch that
// makes the body.
type Reference struct {
	Body     ID
	From, To Holder
	Slots    []store.Slot // places within To that get the numbers of the batch's counters
}

// ErrReleased is returned when a reference is to be made from a holder that does not hold the body.
var ErrReleased = errors.New("the body is not held any more")

// Refer adds to the batch a new reference and a check that the one that it is made from is still there when the batch
// is applied. snap is a snapshot as of now; without r.From none is needed.
func (s *Bodies) Refer(snap store.Snapshot, b *store.Batch, r Reference) error {
	if r.From != "" {
		if err := checkHeld(snap, b, r.Body, r.From); err != nil {
			return err
		}
	}
	key := keys.Ref(r.Body, string(r.To))
	put := store.Put{Key: key}
	for _, slot := range r.Slots {
		slot.At += len(key) - len(r.To)
		put.KeySlots = append(put.KeySlots, slot)
	}
	b.Puts = append(b.Puts, put)
	return nil
}

// checkHeld adds to the batch a check that a holder holds the body, as it does now.
func checkHeld(snap store.Snapshot, b *store.Batch, body ID, h Holder) error {
	from := keys.Ref(body, string(h))
	_, version, err := snap.Get(from)
	if errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("body %s, holder %q: %w", body, h, ErrReleased)
	}
	if err != nil {
		return fmt.Errorf("body %s: %w", body, err)
	}
	b.Check(from, version)
	return nil
}

// Release adds to the batch the end of a reference. The batch must check something that is there only as long as
// the reference is: the holder's own record.
func (s *Bodies) Release(b *store.Batch, body Body, h Holder) {
	b.Delete(keys.Ref(body.ID, string(h)))
	if !Refers(b, body.ID) {
		s.mark(b, body, h)
	}
}

// Refers says whether the batch makes a reference to the body.
func Refers(b *store.Batch, body ID) bool {
	refs := keys.Refs(body)
	for i := len(b.Puts) - 1; i >= 0; i-- {
		if len(b.Puts[i].Key) > len(refs) && string(b.Puts[i].Key[:len(refs)]) == string(refs) {
			return true
		}
	}
	return false
}

// End is Release for the only holder that the body ever had: then a small body ends with it, in the same batch. One that
// lives for a moment only is so never written anywhere but to the log.
func (s *Bodies) End(b *store.Batch, body Body, h Holder) {
	b.Delete(keys.Ref(body.ID, string(h)))
	if body.chunks() > 1 {
		s.mark(b, body, h)
		return
	}
	deleteSmall(b, body.ID)
}

// Drop is Release for a batch that makes no reference to the body: it need not look for one, so a batch may drop many.
func (s *Bodies) Drop(b *store.Batch, body Body, h Holder) {
	b.Delete(keys.Ref(body.ID, string(h)))
	s.mark(b, body, h)
}

// mark tells the sweeper to look whether anybody still refers to the body.
func (s *Bodies) mark(b *store.Batch, body Body, h Holder) {
	b.Put(keys.Sweep(body.ID, string(h)), binary.AppendUvarint(nil, uint64(body.chunks())))
}

// Index returns the index of a body's parts; nil if it has none, like bodies of earlier versions and reports that were
// written here. Errors: those of the store.
func (s *Bodies) Index(ctx context.Context, body Body) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	snap, err := s.st.Snapshot()
	if err != nil {
		return nil, fmt.Errorf("index of %s: %w", body.ID, err)
	}
	defer snap.Close()
	index, _, err := snap.Get(keys.Index(body.ID))
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("index of %s: %w", body.ID, err)
	}
	return index, nil
}

// get reads a chunk.
func (s *Bodies) get(body Body, n uint32) ([]byte, error) {
	snap, err := s.st.Snapshot()
	if err != nil {
		return nil, fmt.Errorf("read body %s: %w", body.ID, err)
	}
	defer snap.Close()
	chunk, _, err := snap.Get(keys.Chunk(body.ID, n))
	if err != nil {
		return nil, fmt.Errorf("read chunk %d of body %s: %w", n, body.ID, err)
	}
	if from, to := body.bounds(n); int64(len(chunk)) != to-from {
		return nil, fmt.Errorf("read chunk %d of body %s: it has %d octets, not %d: %w", n, body.ID, len(chunk), to-from, record.ErrCorrupt)
	}
	return chunk, nil
}

// Open returns a reader of prefix and body, placed at the start. It holds one chunk in memory and nothing else. The
// body must stay held while it is read.
func (s *Bodies) Open(ctx context.Context, body Body) (*Reader, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r := &Reader{s: s, body: body}
	if err := r.load(); err != nil {
		return nil, err
	}
	return r, nil
}
