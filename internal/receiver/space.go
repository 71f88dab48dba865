package receiver

import (
	"sync"
	"time"

	"waybill/internal/mail"
)

// space watches the free octets of the disk. Between two looks it counts what messages take, so that a burst of mail is
// stopped before the disk is full, and not a second later.
type space struct {
	minFree  uint64
	diskFree func() (uint64, error)

	mu    sync.Mutex
	asked time.Time
	free  uint64 // when asked
	spent uint64 // estimated since then
}

const (
	spaceInterval = time.Second
	// writeFactor is how many octets the store may write for one of a message before it cleans up: the log, and the file
	// that the value moves to; with their slack.
	writeFactor = 3
	// spentShare: a new look is taken when this part of the minimum is estimated to be spent.
	spentShare = 8
)

// spend counts octets of a message that go to the store.
func (s *space) spend(octets int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spent += uint64(octets) * writeFactor
}

// low says whether less than the configured minimum would be free after size octets more. What cannot be asked is not
// low: a store that has really failed says so itself.
func (s *space) low(now time.Time, size int64) bool {
	if s.minFree == 0 {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.asked) >= spaceInterval || s.spent*spentShare >= s.minFree {
		free, err := s.diskFree()
		if err != nil {
			return false
		}
		s.asked, s.free, s.spent = now, free, 0
	}
	return s.free < s.minFree+s.spent+uint64(max(size, 0))*writeFactor
}

// meter is the way of a message's content to the store: it counts, and stops what there is no room for.
type meter struct{ space *space }

// Write fails with 452 when the disk runs low.
func (m meter) Write(p []byte) (int, error) {
	m.space.spend(len(p))
	if m.space.low(time.Now(), 0) {
		return 0, &mail.Error{Status: lowSpace}
	}
	return len(p), nil
}
