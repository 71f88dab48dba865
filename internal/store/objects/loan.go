package objects

import (
	"errors"
	"io"
	"sync"
)

// loan reads what is the caller's: a request that is given up, or answered early, may still be sent when its caller has gone on and
// uses the memory again.
type loan struct {
	mu sync.Mutex
	r  io.Reader // nil: it was given back
}

var errReturned = errors.New("the request is over")

// Read implements io.Reader.
func (l *loan) Read(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.r == nil {
		return 0, errReturned
	}
	return l.r.Read(p)
}

// end gives the memory back: nobody looks at it when it has returned.
func (l *loan) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.r = nil
}
