package directory

import (
	"strings"
	"sync"

	"waybill/internal/mail"
	"waybill/internal/store"
	"waybill/internal/store/keys"
)

// maxLookups bounds the addresses that are remembered.
const maxLookups = 10_000

// lookups remembers which account has an address, until any account changes. Addresses that nobody has are not
// remembered: whoever guesses at them would push out the others.
//
// Every lookup asks the watch itself, instead of a goroutine that would be late: a commit's value is in the channel
// before the commit returns (store.Store), so whoever comes after the commit finds it there. One that read before the
// commit and remembers after it is told by the generation, or is forgotten by the next, who finds the value.
type lookups struct {
	changed <-chan struct{}

	mu         sync.Mutex
	generation uint64
	known      map[mail.Address]Account
}

// newLookups watches the store as long as that lives.
func newLookups(st store.Store) *lookups {
	changed, _ := st.Watch(keys.Accounts(""))
	return &lookups{changed: changed, known: map[mail.Address]Account{}}
}

// get returns what is remembered, and the generation for put.
func (l *lookups) get(addr mail.Address) (account Account, generation uint64, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.changed:
		l.generation++
		clear(l.known)
	default:
	}
	account, ok = l.known[addr]
	return account, l.generation, ok
}

// put remembers what was read after get returned that generation.
func (l *lookups) put(addr mail.Address, account Account, generation uint64) {
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
	l.known[mail.Address{Local: strings.Clone(addr.Local), Domain: strings.Clone(addr.Domain)}] = account
}
