package store

import (
	"crypto/rand"
	"encoding/binary"
	"time"
)

// NewBatchID draws an ID: the time in milliseconds, so that engines can forget old ones by range, then randomness.
func NewBatchID(now time.Time) (id BatchID) {
	binary.BigEndian.PutUint64(id[:8], uint64(now.UnixMilli()))
	rand.Read(id[8:])
	return id
}
