// Package watch keeps who wants to hear of changed keys, for the engines of the store.
package watch

import (
	"strings"
	"sync"
	"sync/atomic"

	"waybill/internal/store"
)

// Set is who wants to hear of changes, by prefix. The zero value is empty. A commit without watchers costs one
// atomic read.
type Set struct {
	count   atomic.Int64
	mu      sync.RWMutex
	byStart map[string]map[chan struct{}]struct{}
	lengths map[int]int // how many prefixes have a length
}

// Add returns a channel as store.Store's Watch does, and what ends it.
func (s *Set) Add(prefix string) (<-chan struct{}, func()) {
	ch := make(chan struct{}, 1)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byStart == nil {
		s.byStart, s.lengths = map[string]map[chan struct{}]struct{}{}, map[int]int{}
	}
	if s.byStart[prefix] == nil {
		s.byStart[prefix] = map[chan struct{}]struct{}{}
		s.lengths[len(prefix)]++
	}
	s.byStart[prefix][ch] = struct{}{}
	s.count.Add(1)
	return ch, sync.OnceFunc(func() { s.remove(prefix, ch) })
}

func (s *Set) remove(prefix string, ch chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byStart[prefix], ch)
	s.count.Add(-1)
	if len(s.byStart[prefix]) > 0 {
		return
	}
	delete(s.byStart, prefix)
	if s.lengths[len(prefix)]--; s.lengths[len(prefix)] == 0 {
		delete(s.lengths, len(prefix))
	}
}

// Empty tells whether nobody watches.
func (s *Set) Empty() bool { return s.count.Load() == 0 }

// Key tells of a key that was written or deleted.
func (s *Set) Key(key []byte) {
	if s.Empty() {
		return
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	for n := range s.lengths {
		if n <= len(key) {
			wake(s.byStart[string(key[:n])])
		}
	}
}

// Range tells of a range that was deleted: it wakes those whose prefix has keys in it.
func (s *Set) Range(r store.Range) {
	if s.Empty() {
		return
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	for prefix, chs := range s.byStart {
		before := r.End != nil && prefix >= string(r.End)
		behind := prefix < string(r.Start) && !strings.HasPrefix(string(r.Start), prefix)
		if !before && !behind {
			wake(chs)
		}
	}
}

// All wakes everybody: the store was reopened.
func (s *Set) All() { s.each(func(string) bool { return true }) }

// Missed wakes all who may have missed a change.
func (s *Set) Missed() {
	s.each(func(prefix string) bool { return prefix != string(store.Reopened()) })
}

func (s *Set) each(want func(prefix string) bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for prefix, chs := range s.byStart {
		if want(prefix) {
			wake(chs)
		}
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
