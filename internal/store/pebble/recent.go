package pebble

import "waybill/internal/store"

// recent remembers the versions of the keys that were written last, and the numbers of counters, so that the checks and
// counters of a batch need not look for them in the tables: what is checked was mostly written a moment ago. It is
// guarded by generation.mu, through which every write of a user's key goes, and dies with the generation.
//
// What it holds is bounded by two halves: when the young one is full it becomes the old one, whose keys are forgotten
// unless they were asked for meanwhile.
type recent struct{ young, old map[string]known }

// known is what is known of a key: its version (store.Absent: it is not there), and a counter's number.
type known struct {
	version store.Version
	number  int64
	counter bool
}

const (
	recentKeys = 4096 // in each half
	// Values of that size are content, of which no batch checks the version; and what a counter has just numbered is new,
	// and not checked until somebody has seen the number.
	recentValue = 1024
)

func (r *recent) get(key []byte) (known, bool) {
	k, ok := r.young[string(key)]
	if !ok {
		if k, ok = r.old[string(key)]; ok {
			r.put(key, k)
		}
	}
	return k, ok
}

func (r *recent) put(key []byte, k known) {
	if len(r.young) >= recentKeys || r.young == nil {
		r.old, r.young = r.young, make(map[string]known, recentKeys/4)
	}
	r.young[string(key)] = k
}

// learn takes over what a batch wrote, at the instant at which it was applied.
func (r *recent) learn(b *store.Batch, w *write, result store.Result) {
	if len(b.DeleteRanges) > 0 {
		*r = recent{}
	}
	for i := range b.Counters {
		r.put(b.Counters[i].Key, known{version: result.Version, number: result.Counters[i], counter: true})
	}
	for _, key := range b.Deletes {
		r.put(key, known{version: store.Absent})
	}
	for i := range b.Puts {
		key, put := w.putKey(b, i), &b.Puts[i]
		if len(put.Value) > recentValue || len(put.KeySlots) > 0 {
			r.forget(key)
		} else {
			r.put(key, known{version: result.Version})
		}
	}
}

func (r *recent) forget(key []byte) {
	delete(r.young, string(key))
	delete(r.old, string(key))
}
