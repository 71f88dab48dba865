package objects

import (
	"log/slog"
	"sync"
	"time"
)

// Between two trials of a store that fails the pauses grow from the first to the last of these.
const (
	firstPause = 250 * time.Millisecond
	lastPause  = 10 * time.Second
)

// breaker lets nobody wait for a store that fails: while it does, only one request at a time, after a pause, tries.
type breaker struct {
	what   string // "writes"
	where  string
	logger *slog.Logger

	mu     sync.Mutex
	down   *failure // nil: it works
	since  time.Time
	next   time.Time // when it may be tried
	pause  time.Duration
	trying bool
}

func (b *Bucket) newBreaker(what string) *breaker {
	return &breaker{what: what, where: b.String(), logger: b.o.Logger}
}

// enter says why a request need not be made; or that it may, and whether it is a trial.
func (s *breaker) enter() (trial bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down == nil {
		return false, nil
	}
	if s.trying || time.Now().Before(s.next) {
		return false, s.down
	}
	s.trying = true
	return true, nil
}

// refuses says why enter would refuse a request now, or nil.
func (s *breaker) refuses() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down != nil && (s.trying || time.Now().Before(s.next)) {
		return s.down
	}
	return nil
}

// leave tells what became of a request; failed is nil if the store works. It returns whether that is news.
func (s *breaker) leave(trial bool, failed *failure) (recovered bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trying = s.trying && !trial
	now := time.Now()
	if failed == nil {
		if recovered = s.down != nil; recovered {
			s.logger.Info("the object store can be used again", "for", s.what, "store", s.where, "after", now.Sub(s.since).Round(time.Millisecond).String())
		}
		s.down, s.pause = nil, 0
		return recovered
	}
	if s.down == nil {
		s.since = now
	}
	if s.down == nil || s.down.kind != failed.kind {
		s.logger.Error("the object store cannot be used", "for", s.what, "store", s.where, "error", failed.text)
	}
	s.down = failed
	s.pause = min(max(2*s.pause, firstPause), lastPause)
	s.next = now.Add(s.pause)
	return false
}

// hasten lets the next request try, whatever the pause.
func (s *breaker) hasten() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next = time.Time{}
}

// abandon ends a request that came to nothing by the wish of who made it.
func (s *breaker) abandon(trial bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trying = s.trying && !trial
}

// reason is why the store cannot be used, or nil.
func (s *breaker) reason() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down == nil {
		return nil
	}
	return s.down
}

// Healthy returns nil, or why the store cannot be used at present, as far as that was tried.
func (b *Bucket) Healthy() error {
	for _, s := range []*breaker{b.writing, b.reading, b.pruning} {
		if err := s.reason(); err != nil {
			return err
		}
	}
	return nil
}
