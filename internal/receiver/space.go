package receiver

import (
	"sync"
	"time"
)

// space watches the free octets of the disk, asking at most once a second.
type space struct {
	minFree  uint64
	diskFree func() (uint64, error)

	mu    sync.Mutex
	asked time.Time
	low   bool
}

const spaceInterval = time.Second

// Low says whether less than the configured minimum is free. What cannot be asked is not low: a store that
// has really failed says so itself.
func (s *space) Low(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.asked) < spaceInterval {
		return s.low
	}
	s.asked = now
	free, err := s.diskFree()
	s.low = err == nil && free < s.minFree
	return s.low
}
