package queue

import (
	"math/rand/v2"
	"slices"
	"time"
)

// jitterShare bounds what is added to a delay at random, so that mail deferred together does not come back
// together: at most a tenth.
const jitterShare = 10

// schedule says when a message is tried again.
type schedule struct {
	retry []time.Duration         // delays between attempts, then the last one again; never empty
	draw  func(n int64) (v int64) // 0 <= v < n
}

// defaultRetry is used where the configuration names no delays.
var defaultRetry = []time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour}

func newSchedule(retry []time.Duration) schedule {
	if len(retry) == 0 {
		retry = defaultRetry
	}
	return schedule{retry: retry, draw: rand.Int64N}
}

// longest is more than any delay that next adds.
func (s schedule) longest() time.Duration {
	longest := slices.Max(s.retry)
	return longest + longest/jitterShare + time.Minute
}

// next returns the time of the attempt after the attempts made so far (1 or more). The first delay is exactly the
// configured one; later ones are up to a tenth longer. No attempt lies after expires but the one that was under
// way then: the last attempt is made at expires.
func (s schedule) next(now time.Time, attempts int, expires time.Time) time.Time {
	i := min(max(attempts, 1), len(s.retry)) - 1
	delay := s.retry[i]
	if span := int64(delay) / jitterShare; attempts > 1 && span > 0 {
		delay += time.Duration(s.draw(span + 1))
	}
	if due := now.Add(delay); due.Before(expires) {
		return due
	}
	return expires
}
