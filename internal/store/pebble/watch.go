package pebble

import (
	"strings"
	"sync"
	"sync/atomic"

	"waybill/internal/store"
)

// watchers are those who want to hear of changes, by prefix. A commit without watchers costs one atomic read.
type watchers struct {
	count   atomic.Int64
	mu      sync.RWMutex
	byStart map[string]map[chan struct{}]struct{}
	lengths map[int]int // how many prefixes have a length
}

func (w *watchers) add(prefix string) (<-chan struct{}, func()) {
	ch := make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.byStart == nil {
		w.byStart, w.lengths = map[string]map[chan struct{}]struct{}{}, map[int]int{}
	}
	if w.byStart[prefix] == nil {
		w.byStart[prefix] = map[chan struct{}]struct{}{}
		w.lengths[len(prefix)]++
	}
	w.byStart[prefix][ch] = struct{}{}
	w.count.Add(1)
	return ch, sync.OnceFunc(func() { w.remove(prefix, ch) })
}

func (w *watchers) remove(prefix string, ch chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.byStart[prefix], ch)
	w.count.Add(-1)
	if len(w.byStart[prefix]) > 0 {
		return
	}
	delete(w.byStart, prefix)
	if w.lengths[len(prefix)]--; w.lengths[len(prefix)] == 0 {
		delete(w.lengths, len(prefix))
	}
}

// notify tells of the keys of a batch that was applied.
func (w *watchers) notify(b *store.Batch, applied *write) {
	if w.count.Load() == 0 {
		return
	}
	w.mu.RLock()
	defer w.mu.RUnlock()
	for i := range b.Counters {
		w.key(b.Counters[i].Key)
	}
	for _, key := range b.Deletes {
		w.key(key)
	}
	for i := range b.Puts {
		w.key(applied.putKey(b, i))
	}
	for _, r := range b.DeleteRanges {
		w.within(r)
	}
}

func (w *watchers) key(key []byte) {
	for n := range w.lengths {
		if n <= len(key) {
			wake(w.byStart[string(key[:n])])
		}
	}
}

// within wakes those whose prefix has keys in a deleted range.
func (w *watchers) within(r store.Range) {
	for prefix, chs := range w.byStart {
		before := r.End != nil && prefix >= string(r.End)
		behind := prefix < string(r.Start) && !strings.HasPrefix(string(r.Start), prefix)
		if !before && !behind {
			wake(chs)
		}
	}
}

// all wakes everybody.
func (w *watchers) all() {
	w.mu.RLock()
	defer w.mu.RUnlock()
	for _, chs := range w.byStart {
		wake(chs)
	}
}

func wake(chs map[chan struct{}]struct{}) {
	for ch := range chs {
		select {
		case ch <- struct{}{}:
		default:
		}
	}
}
