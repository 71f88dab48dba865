package pebble

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// Checkpoint writes a copy of the store as it is at this moment into dir, which must not exist: a store of its own, that Open
// takes. What is on the same file system is linked, not copied. Commits go on meanwhile; those that have returned are in it.
func (s *Store) Checkpoint(dir string) (err error) {
	g, err := s.acquire()
	if err != nil {
		return err
	}
	defer g.release()
	defer g.rescue(&err)
	if err := g.db.Checkpoint(dir, pebble.WithFlushedWAL()); err != nil {
		return fmt.Errorf("copy the store to %s: %w", dir, err)
	}
	return nil
}
