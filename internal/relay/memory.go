package relay

import (
	"net/netip"
	"sync"
	"time"
)

// Bounds of what is remembered about hosts.
const (
	failedFor = 5 * time.Minute // how long a host is tried after the others
	maxFailed = 10_000          // addresses
)

// memory is the addresses that did not answer a while ago. They are tried when all others have been: that changes the
// order of an attempt, and replaces none.
type memory struct {
	mu     sync.Mutex
	failed map[netip.AddrPort]time.Time // until when
}

func newMemory() *memory { return &memory{failed: map[netip.AddrPort]time.Time{}} }

// note remembers whether an address answered.
func (m *memory) note(addr netip.AddrPort, answered bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if answered {
		delete(m.failed, addr)
		return
	}
	now := time.Now()
	if len(m.failed) >= maxFailed {
		m.prune(now)
	}
	m.failed[addr] = now.Add(failedFor)
}

// prune makes room: what is over goes, and if nothing is, something.
func (m *memory) prune(now time.Time) {
	for addr, until := range m.failed {
		if now.After(until) {
			delete(m.failed, addr)
		}
	}
	for addr := range m.failed {
		if len(m.failed) < maxFailed {
			return
		}
		delete(m.failed, addr)
	}
}

// hasFailed says whether an address did not answer a while ago.
func (m *memory) hasFailed(addr netip.AddrPort) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	until, ok := m.failed[addr]
	return ok && time.Now().Before(until)
}
