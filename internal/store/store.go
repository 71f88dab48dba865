// Package store is the ordered key-value store that all of waybill's state lives in, as an interface:
// mail logic is written once against it, an engine is a small package (store/pebble), and the conformance
// suite (store/storetest) says what an engine must do.
//
// Reads come from snapshots; writes are batches. A batch is data, not a callback, so that an engine can put
// the batches of many callers into one group with one sync, or into one statement.
package store

import (
	"context"
	"errors"
	"iter"
)

var (
	// ErrNotFound: no such key.
	ErrNotFound = errors.New("store: key not found")
	// ErrConflict: a check of the batch failed; nothing of it was applied.
	ErrConflict = errors.New("store: conflict")
	// ErrLimit: a counter of the batch would pass its limit; nothing of it was applied.
	ErrLimit = errors.New("store: counter limit reached")
	// ErrUnavailable: the store cannot be used now (it failed and is being reopened); the batch was not applied.
	ErrUnavailable = errors.New("store: unavailable")
	// ErrUnknown: the store failed while the batch was under way; it may or may not have been applied, and
	// may or may not survive. Committing it again with the same ID tells.
	ErrUnknown = errors.New("store: outcome unknown")
	// ErrClosed: Close was called.
	ErrClosed = errors.New("store: closed")
)

// Version is the sequence number of the commit that wrote a key: it grows with each commit and is never used
// again, not even after the key was deleted and created anew. Absent is the version of a key that is not there.
type Version uint64

// Absent is the version of a key that does not exist.
const Absent Version = 0

// Store is an engine. All methods are safe for concurrent use.
type Store interface {
	// Snapshot returns a view of the store as of now: of every batch all or nothing.
	// It sees applied batches, of which the newest may not be durable yet (see Barrier). Close it soon.
	Snapshot() (Snapshot, error)

	// Commit applies the batch atomically: its checks are evaluated, its counters advanced, its writes made,
	// all at one instant that is the same for every reader; batches are applied in some total order. It returns when the batch is durable,
	// or, for a batch with Lazy set, as soon as it is applied; it then becomes durable with any later batch.
	// A batch that is durable implies that every batch applied before it is durable.
	// Errors: ErrConflict, ErrLimit, ErrUnavailable, ErrUnknown, ErrClosed, and a done context before the batch
	// was applied (never after: then Commit waits for the outcome). Commit does not keep or change the batch.
	Commit(ctx context.Context, b *Batch) (Result, error)

	// Barrier returns when everything that was applied before the call is durable. What leaves the process
	// on the strength of a read goes through it.
	Barrier(ctx context.Context) error

	// Watch returns a channel that gets a value, at most one pending, after each commit that wrote or deleted
	// a key with that prefix, before that Commit returns, and once after the store was reopened. Call cancel when done.
	Watch(prefix []byte) (changed <-chan struct{}, cancel func())

	// Healthy returns nil, or why batches are refused at present.
	Healthy() error

	// Close waits for commits under way, makes everything durable and ends the store.
	Close() error
}

// Reopened begins keys that are never written: who watches it hears only that the store was reopened, or may have lost something.
func Reopened() []byte { return []byte("nobody/") }

// Snapshot is a consistent view. It is safe for concurrent use. Close frees it.
type Snapshot interface {
	// Get returns the value and version of key, or ErrNotFound. The value is the caller's.
	Get(key []byte) (value []byte, version Version, err error)
	// Scan yields the keys of r in order (Reverse: backwards), at most Limit if that is not 0.
	// Key and Value of an entry are valid only until the next one. An error ends the scan and is the last item.
	Scan(r Range) iter.Seq2[Entry, error]
	Close() error
}

// Range is the keys k with Start <= k < End. A nil End has no bound.
type Range struct {
	Start, End []byte
	Limit      int
	Reverse    bool
}

// Prefix returns the range of all keys that begin with p.
func Prefix(p []byte) Range { return Range{Start: p, End: After(p)} }

// After returns the first key after all keys that begin with p, or nil if there is none.
func After(p []byte) []byte {
	end := append([]byte(nil), p...)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i] < 0xff {
			end[i]++
			return end[:i+1]
		}
	}
	return nil
}

// Entry is one key with its value.
type Entry struct {
	Key, Value []byte
	Version    Version
}

// Batch is a set of changes that happen all together or not at all. The order of evaluation is: checks,
// counters, delete ranges, deletes, puts. A key may be written once in a batch.
type Batch struct {
	// ID, when not zero, is remembered with the batch for at least ten minutes, over restarts too: another
	// Commit with it changes nothing and returns the first result.
	ID BatchID
	// Lazy: do not wait until the batch is durable.
	Lazy bool

	Checks       []Check
	Counters     []Counter
	DeleteRanges []Range // Start and End only
	Deletes      [][]byte
	Puts         []Put
}

// BatchID names a batch; NewBatchID draws one.
type BatchID [16]byte

// Check demands that a key has exactly this version; Absent demands that it does not exist.
type Check struct {
	Key     []byte
	Version Version
}

// Counter adds Add to the 64-bit number at Key (0 if absent; 8 octets, big-endian). Result.Counters and the
// slots of puts get the number after the addition. If Limit is not 0 and the sum would exceed it while Add is
// positive, the batch fails with ErrLimit. A key is either a counter or written by puts, never both.
type Counter struct {
	Key   []byte
	Add   int64
	Limit int64
}

// Put writes Value at Key. KeySlots and ValueSlots name the places, within them, where the engine writes the
// numbers that the batch's counters got.
type Put struct {
	Key, Value           []byte
	KeySlots, ValueSlots []Slot
}

// Slot is the place At, Width octets wide (4 or 8, big-endian), that gets the number of Counters[Counter].
type Slot struct {
	Counter, At, Width int
}

// Result is what a commit assigned.
type Result struct {
	Version  Version // of every key that the batch wrote
	Counters []int64 // one for each of the batch's counters
}

// Put adds a write.
func (b *Batch) Put(key, value []byte) { b.Puts = append(b.Puts, Put{Key: key, Value: value}) }

// Create adds a write of a key that must not exist yet.
func (b *Batch) Create(key, value []byte) {
	b.Check(key, Absent)
	b.Put(key, value)
}

// Delete adds the removal of a key, which need not exist.
func (b *Batch) Delete(key []byte) { b.Deletes = append(b.Deletes, key) }

// Check adds a demand on a key's version.
func (b *Batch) Check(key []byte, v Version) {
	b.Checks = append(b.Checks, Check{Key: key, Version: v})
}

// Count adds n to a counter and returns its index, for slots and Result.Counters.
func (b *Batch) Count(key []byte, n, limit int64) int {
	b.Counters = append(b.Counters, Counter{Key: key, Add: n, Limit: limit})
	return len(b.Counters) - 1
}

// ReadCounter returns the number that a counter's value holds.
func ReadCounter(value []byte) int64 {
	var n int64
	for _, c := range value {
		n = n<<8 | int64(c)
	}
	return n
}
