package directory

import (
	"strings"
	"sync"

	"waybill/internal/mail"
	"waybill/internal/store"
)

// Bounds of what is remembered: the addresses, and together what they lead to.
const (
	maxLookups = 10_000
	maxHeld    = 2 * maxLookups
)

// lookups remembers what an address leads to, until anything changes that it may rest on. Addresses that nobody has are
// not remembered: whoever guesses at them would push out the others.
//
// Every lookup asks the watch itself, instead of a goroutine that would be late: a commit's value is in the channel
// before the commit returns (store.Store), so whoever comes after the commit finds it there. One that read before the
// commit and remembers after it is told by the generation, or is forgotten by the next, who finds the value.
type lookups[T any] struct {
	changed []<-chan struct{}
	weigh   func(T) int

	mu         sync.Mutex
	generation uint64
	known      map[mail.Address]T
	held       int // the weight of all that is known
}

// newLookups watches the keys with those prefixes as long as the store lives. weigh tells how many addresses a T holds.
func newLookups[T any](st store.Store, weigh func(T) int, prefixes ...[]byte) *lookups[T] {
	l := &lookups[T]{known: map[mail.Address]T{}, weigh: weigh}
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
	l.clear()
}

func (l *lookups[T]) clear() {
	l.generation++
	l.held = 0
	clear(l.known)
}

// get returns what is remembered, and the generation for put.
func (l *lookups[T]) get(addr mail.Address) (found T, generation uint64, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, changed := range l.changed {
		select {
		case <-changed:
			l.clear()
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
	l.drop(addr)
	l.held += l.weigh(found)
	for other := range l.known { // begins anywhere
		if len(l.known) < maxLookups && l.held <= maxHeld {
			break
		}
		l.drop(other)
	}
	// The texts may be parts of longer ones.
	l.known[mail.Address{Local: strings.Clone(addr.Local), Domain: strings.Clone(addr.Domain)}] = found
}

func (l *lookups[T]) drop(addr mail.Address) {
	if found, ok := l.known[addr]; ok {
		l.held -= l.weigh(found)
		delete(l.known, addr)
	}
}
