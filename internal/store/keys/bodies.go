package keys

import (
	"bytes"
	"encoding/binary"
	"time"

	"waybill/internal/mail"
)

// bodyID is the form of bodies.ID.
type bodyID = [16]byte

// Chunk is the key of a part of a body.
func Chunk(id bodyID, n uint32) []byte {
	return binary.BigEndian.AppendUint32(append(start("body/", 20), id[:]...), n)
}

// indexChunk is the number of a chunk that no body has so many chunks to reach: what stands under it goes with the body.
const indexChunk = 1<<32 - 1

// Index is the key of what is known of the parts of a body.
func Index(id bodyID) []byte { return Chunk(id, indexChunk) }

// IsIndex says whether a chunk's number, as ParseChunk returns it, is that of Index.
func IsIndex(n uint32) bool { return n == indexChunk }

// Chunks begins the keys of all parts of a body.
func Chunks(id bodyID) []byte { return append(start("body/", 16), id[:]...) }

// Draft is the key of the mark of a draft that was begun at that time.
func Draft(begun time.Time, id bodyID) []byte {
	return append(binary.BigEndian.AppendUint64(start("draft/", 24), uint64(max(begun.UnixMilli(), 0))), id[:]...)
}

// Doomed is the key of the mark of a body whose objects are to be deleted: that of a draft which was begun before all others.
func Doomed(id bodyID) []byte { return Draft(time.UnixMilli(0), id) }

// AllDoomed is the range of these keys.
func AllDoomed() (from, before []byte) { return Drafts(), DraftsBefore(time.UnixMilli(1)) }

// Claiming is the key of the mark that this store's name was written, or is about to be, where its objects lie, and that another store's may yet
// be written over it. It goes with a copy of the store, which has the same name.
func Claiming() []byte { return []byte("claiming") }

// Drafts begins the keys of all drafts' marks.
func Drafts() []byte { return []byte("draft/") }

// ParseDraft takes the key of a draft's mark apart; ok is false if it is none.
func ParseDraft(key []byte) (begun time.Time, id bodyID, ok bool) {
	rest, ok := bytes.CutPrefix(key, Drafts())
	if !ok || len(rest) != 24 {
		return time.Time{}, id, false
	}
	copy(id[:], rest[8:])
	return time.UnixMilli(int64(binary.BigEndian.Uint64(rest))).UTC(), id, true
}

// Ref is the key by which a holder keeps a body alive.
func Ref(id bodyID, holder string) []byte {
	return append(append(start("ref/", 16+len(holder)), id[:]...), holder...)
}

// RefAll begins the keys of all holders of all bodies.
func RefAll() []byte { return []byte("ref/") }

// Refs begins the keys of all holders of a body.
func Refs(id bodyID) []byte { return append(start("ref/", 16), id[:]...) }

// Sweep is the key of the mark that a holder leaves when it lets a body go.
func Sweep(id bodyID, holder string) []byte {
	return append(append(start("sweep/", 16+len(holder)), id[:]...), holder...)
}

// Sweeps begins the keys of all such marks.
func Sweeps() []byte { return []byte("sweep/") }

// ParseSweep returns the body of a mark; ok is false if key is none.
func ParseSweep(key []byte) (id bodyID, ok bool) {
	rest, ok := bytes.CutPrefix(key, Sweeps())
	if !ok || len(rest) < len(id) {
		return id, false
	}
	copy(id[:], rest)
	return id, true
}

// ParseChunk takes the key of a part of a body apart; ok is false if it is none.
func ParseChunk(key []byte) (id bodyID, n uint32, ok bool) {
	rest, ok := bytes.CutPrefix(key, []byte("body/"))
	if !ok || len(rest) != len(id)+4 {
		return id, 0, false
	}
	copy(id[:], rest)
	return id, binary.BigEndian.Uint32(rest[len(id):]), true
}

// ParseRef takes the key of a reference apart; ok is false if it is none.
func ParseRef(key []byte) (id bodyID, holder string, ok bool) {
	rest, ok := bytes.CutPrefix(key, RefAll())
	if !ok || len(rest) <= len(id) {
		return id, "", false
	}
	copy(id[:], rest)
	return id, string(rest[len(id):]), true
}

// SpoolHolder is how a message in custody holds its body.
func SpoolHolder(id mail.ID) string { return "spool/" + string(id) }

// DraftsBefore is the end of the marks of drafts that were begun before t.
func DraftsBefore(t time.Time) []byte {
	return binary.BigEndian.AppendUint64(start("draft/", 8), uint64(max(t.UnixMilli(), 0)))
}
