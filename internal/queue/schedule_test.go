package queue

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestFirstRetryIsExact(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	s := newSchedule([]time.Duration{time.Minute, time.Hour})
	if got := s.next(now, 1, now.Add(24*time.Hour)); !got.Equal(now.Add(time.Minute)) {
		t.Errorf("the first retry is at %v, want one minute after %v", got, now)
	}
}

// The schedule over many lists of delays, attempts and times left: never in the past, never after the end, never
// sooner than configured unless the end comes first, at most a tenth later.
func TestScheduleProperties(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for range 20000 {
		retry := make([]time.Duration, 1+r.IntN(6))
		for i := range retry {
			retry[i] = time.Duration(1 + r.Int64N(int64(48*time.Hour)))
		}
		attempts := r.IntN(40)
		expires := now.Add(time.Duration(r.Int64N(int64(240 * time.Hour))))
		s := newSchedule(retry)
		s.draw = r.Int64N

		got := s.next(now, attempts, expires)
		want := retry[min(max(attempts, 1), len(retry))-1]
		switch {
		case got.Before(now) || got.After(expires):
			t.Fatalf("%v, attempts %d: %v is not between %v and %v", retry, attempts, got, now, expires)
		case got.Sub(now) < want && !got.Equal(expires):
			t.Fatalf("%v, attempts %d: %v is sooner than %v", retry, attempts, got.Sub(now), want)
		case got.Sub(now) > want+want/10:
			t.Fatalf("%v, attempts %d: %v is more than a tenth later than %v", retry, attempts, got.Sub(now), want)
		}
	}
}

// Whatever the delays, repeated attempts reach the end of a message's time, in a bounded number of steps, and the
// last attempt is made there.
func TestScheduleEnds(t *testing.T) {
	t.Parallel()
	for _, retry := range [][]time.Duration{nil, {time.Minute}, {time.Second, time.Hour}, {time.Hour, time.Second}, defaultRetry} {
		s := newSchedule(retry)
		accepted := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
		expires := accepted.Add(120 * time.Hour)
		now, attempts := accepted, 0
		for now.Before(expires) {
			attempts++
			next := s.next(now, attempts, expires)
			if !next.After(now) {
				t.Fatalf("%v: attempt %d at %v is followed by one at %v", retry, attempts, now, next)
			}
			now = next
		}
		if !now.Equal(expires) {
			t.Errorf("%v: the last attempt is at %v, want %v", retry, now, expires)
		}
	}
}
