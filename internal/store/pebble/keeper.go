package pebble

import "time"

// keep waits for the generation to fail and replaces it, until the store is closed.
func (s *Store) keep(g *generation) {
	defer close(s.kept)
	attempt := 0
	for {
		opened := time.Now()
		select {
		case <-s.quit:
			s.retire(g)
			return
		case <-g.dead:
		}
		s.o.Logger.Error("store failed, batches are refused until it is reopened", "dir", s.o.Dir, "error", g.failure().Error())
		s.retire(g)
		// A change that the old generation already had under way ends before the new one looks at the disk.
		g.fence.drain()
		if time.Since(opened) > s.pause(len(s.o.ReopenPauses)) {
			attempt = 0 // it was well for long: not the same trouble again
		}
		if g, attempt = s.reopen(attempt); g == nil {
			return
		}
		s.cause.Store(nil)
		s.current.Store(g)
		s.o.Logger.Info("store reopened", "dir", s.o.Dir)
		s.watch.All()
	}
}

// reopen tries until it has a generation, or nil when the store is closed. It returns the next attempt's number.
func (s *Store) reopen(attempt int) (*generation, int) {
	for ; ; attempt++ {
		pause := time.NewTimer(s.pause(attempt))
		select {
		case <-s.quit:
			pause.Stop()
			return nil, attempt
		case <-pause.C:
		}
		g, err := s.openGeneration()
		if err == nil {
			return g, attempt + 1
		}
		s.cause.Store(&err)
		s.o.Logger.Error("store cannot be reopened yet", "dir", s.o.Dir, "error", err.Error(), "attempt", attempt+1)
	}
}

func (s *Store) pause(attempt int) time.Duration {
	return s.o.ReopenPauses[min(attempt, len(s.o.ReopenPauses)-1)]
}

// retire refuses new operations on g and closes it once those under way have ended.
func (s *Store) retire(g *generation) {
	g.retire()
	s.retired.Go(g.close)
}
