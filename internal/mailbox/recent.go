package mailbox

import "sync"

// maxRecent bounds the mailboxes that are remembered.
const maxRecent = 10_000

// recentBoxes remembers where mailboxes are, so that filing need not look them up. It may be wrong by the time: a batch
// that files checks the mailbox's version, and meets a conflict if it is. Who looks a mailbox up corrects it.
type recentBoxes struct {
	mu    sync.Mutex
	known map[boxName]box
}

type boxName struct{ account, name string }

func (r *recentBoxes) get(n boxName) (box, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	x, ok := r.known[n]
	return x, ok
}

func (r *recentBoxes) put(n boxName, x box) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.known) >= maxRecent {
		for other := range r.known { // begins anywhere
			delete(r.known, other)
			break
		}
	}
	r.known[n] = x
}

func (r *recentBoxes) forget(n boxName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.known, n)
}
