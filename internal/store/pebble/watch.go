package pebble

import "waybill/internal/store"

// notify tells of the keys of a batch that was applied.
func (s *Store) notify(b *store.Batch, applied *write) {
	if s.watch.Empty() {
		return
	}
	for i := range b.Counters {
		s.watch.Key(b.Counters[i].Key)
	}
	for _, key := range b.Deletes {
		s.watch.Key(key)
	}
	for i := range b.Puts {
		s.watch.Key(applied.putKey(b, i))
	}
	for _, r := range b.DeleteRanges {
		s.watch.Range(r)
	}
}
