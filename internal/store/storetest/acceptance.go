package storetest

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"waybill/internal/store"
)

// Acceptance is a batch like that of an accepted message, for benchmarks: a body and four small keys.
func Acceptance(n int64, body []byte) *store.Batch {
	var id [16]byte
	binary.BigEndian.PutUint64(id[:], uint64(n)*0x9e3779b97f4a7c15)
	batch := &store.Batch{}
	batch.Put(append([]byte("body/"), id[:]...), body)
	batch.Put(fmt.Appendf(nil, "ref/%x/spool/%d", id, n), nil)
	batch.Create(fmt.Appendf(nil, "spool/%012d", n), bytes.Repeat([]byte("r"), 250))
	batch.Put(fmt.Appendf(nil, "due/%012d", n), nil)
	batch.Put(fmt.Appendf(nil, "trail/20261123/%012d/1", n), bytes.Repeat([]byte("t"), 700))
	return batch
}
