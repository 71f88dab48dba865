package dns

import (
	"slices"
	"sync"
	"time"
)

const (
	// restTime is for how long a server that did not answer is asked last.
	restTime = 30 * time.Second
	// maxResting bounds the servers that are remembered so.
	maxResting = 1000
)

// health remembers which servers did not answer lately, so that not every question waits for a dead one first.
type health struct {
	mu      sync.Mutex
	resting map[string]time.Time // address:port → until when
}

// failed notes that server did not answer.
func (h *health) failed(server string, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.resting == nil || len(h.resting) >= maxResting {
		h.resting = map[string]time.Time{}
	}
	h.resting[server] = now.Add(restTime)
}

// answered notes that server did answer.
func (h *health) answered(server string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.resting, server)
}

// sorted returns servers in the order in which to ask them: as given, but those that rest last.
func (h *health) sorted(servers []string, now time.Time) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	rank := func(s string) int {
		if h.resting[s].After(now) {
			return 1
		}
		return 0
	}
	sorted := slices.Clone(servers)
	slices.SortStableFunc(sorted, func(a, b string) int { return rank(a) - rank(b) })
	return sorted
}
