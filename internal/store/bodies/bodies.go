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
//
// # Objects
//
// Where there is an object store, what is beyond the first 64 KiB of a large body lies there, as objects of 1 MiB with the keys <body>/<number>.
// Chunk 0, the index and all references stay in the store, which alone says what there is. Two rules keep both together: before the first object is
// written, a mark that says so is durable; and objects are deleted only of a body that is doomed, which is a mark too, durable before the first deletion.
// A doomed body cannot be saved: nobody refers to it and nobody can, or it is a draft whose mark is gone, so that Finish fails.
//
//	step                                           store                          objects     a process that ends here leaves
//	the first object is due    batch, durable      draft mark                     -           a mark: Sweep dooms the draft
//	each object                PUT                 draft mark                     some        the same
//	Finish                     batch, durable      chunk 0, reference             all         the body, whole
//	or Discard                 batch               doomed mark                    some        the mark: Sweep goes on
//	the last Release           batch               chunk 0, sweep mark            all         the mark: Sweep goes on
//	Sweep: nobody refers       batch               doomed mark                    all         the same
//	Sweep                      barrier             doomed mark                    all         the same
//	Sweep: each object         DELETE              doomed mark                    fewer       the same
//	Sweep                      batch               -                              -           nothing
//
// A batch that is lost with the machine is one that did not happen: each row's objects are right for the row before too, but for the deletions, which
// therefore come after a barrier. Whoever sweeps beside others deletes what they delete; the mark's version says who was last. Where the store is shared, each
// further object writes the draft's mark anew before its PUT, as each chunk does: others sweep what they have seen unchanged for long.
//
// A PUT may come after all of that, from a process that was frozen, or from a network that kept it. The process finds its draft swept,
// and Discard dooms the body again. What comes after its process has ended, Collect finds: an object of which the store has no mark and no chunk 0 is nobody's
// and never will be anybody's. So that it does not take another store's objects for such, a place belongs to one store (claim).
package bodies

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"waybill/internal/store"
	"waybill/internal/store/keys"
	"waybill/internal/store/record"
)

const (
	headSize   = 64 << 10  // octets of the message in chunk 0, at most
	chunkSize  = 256 << 10 // octets in each further chunk but the last
	objectSize = 1 << 20   // octets in each object but the last
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
	// InObjects: all but chunk 0 is in the object store.
	InObjects bool `json:"inObjects,omitempty"`
}

// Total is the size with the prefix.
func (b Body) Total() int64 { return b.PrefixSize + b.Size }

// Chunks is the number of keys that the body takes, and Objects that of its objects. The parts of a body are numbered from 0,
// chunks first; ChunkSize is how many octets the n-th of them has.
func (b Body) Chunks() uint32 {
	if b.InObjects {
		return 1
	}
	return b.parts()
}

// Objects is told with Chunks.
func (b Body) Objects() uint32 { return b.parts() - b.Chunks() }

// ChunkSize is told with Chunks.
func (b Body) ChunkSize(n uint32) int64 {
	from, to := b.bounds(n)
	return to - from
}

// partSize is how many octets the parts have, the first and the last excepted.
func (b Body) partSize() int64 {
	if b.InObjects {
		return objectSize
	}
	return chunkSize
}

// parts is the number of chunks and objects.
func (b Body) parts() uint32 {
	beyond := max(b.Size-headSize, 0)
	return uint32(1 + (beyond+b.partSize()-1)/b.partSize())
}

// bounds are the places, in prefix and body taken together, at which part n begins and ends.
func (b Body) bounds(n uint32) (from, to int64) {
	head := b.PrefixSize + headSize
	if n == 0 {
		return 0, min(head, b.Total())
	}
	from = head + int64(n-1)*b.partSize()
	return from, min(from+b.partSize(), b.Total())
}

// at returns the part in which place offset is.
func (b Body) at(offset int64) uint32 {
	beyond := offset - b.PrefixSize - headSize
	if beyond < 0 {
		return 0
	}
	return uint32(1 + beyond/b.partSize())
}

// Append adds the body to a stored value; Read reads it there. The size of one that is in objects is written above maxSize: programs that know
// nothing of objects take that for corrupt, which is what it is to them.
func (b Body) Append(value []byte) []byte {
	size := b.Size
	if b.InObjects {
		size += maxSize
	}
	value = append(value, b.ID[:]...)
	value = binary.AppendUvarint(value, uint64(b.PrefixSize))
	return binary.AppendUvarint(value, uint64(size))
}

// maxSize bounds the sizes that are believed of a stored value, far above any message.
const maxSize = 1 << 40

// Read reads what Append wrote.
func Read(r *record.Reader) (b Body) {
	copy(b.ID[:], r.Fixed(len(b.ID)))
	b.PrefixSize, b.Size = r.Size(), r.Size()
	if b.Size > maxSize {
		b.Size, b.InObjects = b.Size-maxSize, true
	}
	if b.PrefixSize > maxSize || b.Size > maxSize || b.InObjects && b.Size <= headSize {
		r.Fail()
		return Body{}
	}
	return b
}

// Options is what a Bodies is made of.
type Options struct {
	Store store.Store // required
	// Objects has what is beyond the first 64 KiB of each body that is larger than Inline. nil: all is in the store, and bodies that are in
	// objects cannot be read.
	Objects Objects
	// Inline is how many octets a message may have that stays in the store as a whole; default 64 KiB, which is the least, at most 1 MiB.
	Inline int64
	// Shared: other nodes use the store too, so drafts that are not ours may be somebody else's who is still at work.
	Shared bool
}

// Bounds of Options.Inline.
const (
	MinInline = headSize
	MaxInline = objectSize
)

// Bodies is the bodies of a store. It is safe for concurrent use.
type Bodies struct {
	st      store.Store
	objects Objects
	inline  int64
	shared  bool
	heads   sync.Pool // of *[headRoom + headSize]byte
	chunks  sync.Pool // of *[chunkSize]byte
	large   sync.Pool // of *[objectSize]byte

	mu   sync.Mutex
	live map[ID]struct{} // drafts of this process that have chunks or objects

	sweeping sync.Mutex
	swept    bool      // the drafts of earlier processes are gone; sweeping guards it
	seen     sightings // the drafts of others; sweeping guards them too

	claiming sync.Mutex
	claimed  atomic.Bool // the place of the objects is this store's
	// The mark (keys.Claiming) that was seen last, and when what the place says will be believed if it is still there; claiming guards both.
	unsettled store.Version
	settled   time.Time
}

// New returns the bodies in st, which are there as a whole.
func New(st store.Store) *Bodies { return With(Options{Store: st}) }

// With returns the bodies of a store and of the object store beside it.
func With(o Options) *Bodies {
	return &Bodies{
		st: o.Store, objects: o.Objects, inline: min(max(o.Inline, MinInline), MaxInline), shared: o.Shared,
		heads:  sync.Pool{New: func() any { return new(head) }},
		chunks: sync.Pool{New: func() any { return new([chunkSize]byte) }},
		large:  sync.Pool{New: func() any { return new([objectSize]byte) }},
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
	if body.parts() > 1 {
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

// DropLost is Drop for a body of which only the id is known: all that there may be of it is deleted.
func (s *Bodies) DropLost(b *store.Batch, id ID, h Holder) {
	b.Delete(keys.Ref(id, string(h)))
	objects := uint32(0)
	if s.objects != nil { // else nobody could delete them, and the mark would stay for ever
		objects = 1
	}
	s.markParts(b, id, h, Body{Size: maxSize}.Chunks(), objects)
}

// mark tells the sweeper to look whether anybody still refers to the body.
func (s *Bodies) mark(b *store.Batch, body Body, h Holder) {
	s.markParts(b, body.ID, h, body.Chunks(), body.Objects())
}

func (s *Bodies) markParts(b *store.Batch, id ID, h Holder, chunks, objects uint32) {
	value := binary.AppendUvarint(nil, uint64(chunks))
	if objects > 0 {
		value = binary.AppendUvarint(value, uint64(objects))
	}
	b.Put(keys.Sweep(id, string(h)), value)
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

// get reads a part. What is in into may be overwritten: it is the part that was read before, or nil.
func (s *Bodies) get(ctx context.Context, body Body, n uint32, into []byte) ([]byte, error) {
	if body.InObjects && n > 0 {
		return s.getObject(ctx, body, n, into)
	}
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

// Open returns a reader of prefix and body, placed at the start. It holds one part in memory and nothing else. The
// body must stay held while it is read, and ctx open.
func (s *Bodies) Open(ctx context.Context, body Body) (*Reader, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r := &Reader{s: s, ctx: ctx, body: body}
	if err := r.load(); err != nil {
		return nil, err
	}
	return r, nil
}
