package directory

import (
	"strings"
	"sync"

	"waybill/internal/mail"
	"waybill/internal/store"
)

// maxLookups bounds the addresses that are remembered.
const maxLookups = 10_000

// lookups remembers what an address leads to, until anything changes that it may rest on. Addresses that nobody has are
// not remembered: whoever guesses at them would push out the others.
//
// Every lookup asks the watch itself, instead of a goroutine that would be late: a commit's value is in the channel
// before the commit returns (store.Store), so whoever comes after the commit finds it there. One that read before the
// commit and remembers after it is told by the generation, or is forgotten by the next, who finds the value.
type lookups[T any] struct {
	changed []<-chan struct{}

	mu         sync.Mutex
	generation uint64
	known      map[mail.Address]T
}

// newLookups watches the keys with those prefixes as long as the store lives.
func newLookups[T any](st store.Store, prefixes ...[]byte) *lookups[T] {
	l := &lookups[T]{known: map[mail.Address]T{}}
	for _, prefix := range prefixes {
		changed, _ := st.Watch(prefix)
		l.changed = append(l.changed, changed)
	}
	return l
}

// forget drops everything.
func (l *lookups[T]) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.generation++
	clear(l.known)
}

// get returns what is remembered, and the generation for put.
func (l *lookups[T]) get(addr mail.Address) (found T, generation uint64, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, changed := range l.changed {
		select {
		case <-changed:
			l.generation++
			clear(l.known)
		default:
		}
	}
	found, ok = l.known[addr]
	return found, l.generation, ok
}

// put remembers what was read after get returned that generation.
func (l *lookups[T]) put(addr mail.Address, found T, generation uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if generation != l.generation {
		return
	}
	if len(l.known) >= maxLookups {
		for other := range l.known { // begins anywhere
			delete(l.known, other)
			break
		}
	}
	// The texts may be parts of longer ones.
	l.known[mail.Address{Local: strings.Clone(addr.Local), Domain: strings.Clone(addr.Domain)}] = found
}
