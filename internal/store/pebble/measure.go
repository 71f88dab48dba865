package pebble

import (
	"context"

	"github.com/cockroachdb/pebble/v2"
)

// Measure counts the keys, and the octets of keys and values. It reads no value that lies in a file of its own.
func (s *Store) Measure(ctx context.Context) (keys, octets int64, err error) {
	g, err := s.acquire()
	if err != nil {
		return 0, 0, err
	}
	defer g.release()
	defer g.rescue(&err)
	it, err := g.db.NewIter(&pebble.IterOptions{LowerBound: []byte{userPrefix}, UpperBound: []byte{userPrefix + 1}})
	if err != nil {
		return 0, 0, err
	}
	for ok := it.First(); ok && ctx.Err() == nil; ok = it.Next() {
		value := it.LazyValue()
		keys++
		octets += int64(len(it.Key()) - 1 + value.Len() - versionSize)
	}
	if err := it.Close(); err != nil {
		return 0, 0, err
	}
	return keys, octets, ctx.Err()
}
