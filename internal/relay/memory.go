package relay

import (
	"net/netip"
	"sync"
	"time"
)

// Bounds of what is remembered.
const (
	failedFor = 5 * time.Minute // how long an address that did not answer is tried after the others
	maxRecent = 10_000          // of a kind
)

// memory is the addresses that did not answer a while ago. They are tried when all others have been: that changes the
// order of an attempt, and replaces none.
type memory struct {
	failed *recent[netip.AddrPort]
}

func newMemory() *memory { return &memory{failed: newRecent[netip.AddrPort](failedFor)} }

// note remembers whether an address answered.
func (m *memory) note(addr netip.AddrPort, answered bool) {
	if answered {
		m.failed.forget(addr)
		return
	}
	m.failed.note(addr)
}

// hasFailed says whether an address did not answer a while ago.
func (m *memory) hasFailed(addr netip.AddrPort) bool { return m.failed.has(addr) }

// recent is what was noted within a while, up to maxRecent keys. It is safe for concurrent use.
type recent[K comparable] struct {
	while time.Duration
	mu    sync.Mutex
	until map[K]time.Time
}

func newRecent[K comparable](while time.Duration) *recent[K] {
	return &recent[K]{while: while, until: map[K]time.Time{}}
}

// note remembers k from now on.
func (r *recent[K]) note(k K) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if len(r.until) >= maxRecent {
		r.prune(now)
	}
	r.until[k] = now.Add(r.while)
}

// forget drops k.
func (r *recent[K]) forget(k K) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.until, k)
}

// prune makes room: what is over goes, and if nothing is, something.
func (r *recent[K]) prune(now time.Time) {
	for k, until := range r.until {
		if now.After(until) {
			delete(r.until, k)
		}
	}
	for k := range r.until {
		if len(r.until) < maxRecent {
			return
		}
		delete(r.until, k)
	}
}

// has says whether k was noted within the while.
func (r *recent[K]) has(k K) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Now().Before(r.until[k])
}
