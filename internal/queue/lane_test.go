package queue

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"waybill/internal/mail"
)

func waiting(hop string, recipients int) *task {
	return &task{entry: &entry{}, nextHop: hop, recipients: make([]int, recipients)}
}

func limits(attempts int, rate float64) func(string) (int, float64) {
	return func(string) (int, float64) { return attempts, rate }
}

func TestNextHopsTakeTurns(t *testing.T) {
	t.Parallel()
	l := newLane(10, 1, limits(2, 0))
	for range 1000 {
		l.add(waiting("dead.test", 1))
	}
	l.add(waiting("a.test", 1))
	l.add(waiting("b.test", 1))
	var got []string
	for range 4 {
		got = append(got, l.take()[0].nextHop)
	}
	// dead.test has its two places; the others came to their turn at once.
	if want := []string{"dead.test", "a.test", "b.test", "dead.test"}; !slices.Equal(got, want) {
		t.Fatalf("taken: %v, want %v", got, want)
	}
	if len(l.ring) != 0 {
		t.Errorf("dead.test may give out a third task with two places")
	}
	l.add(waiting("c.test", 1))
	if got := l.take()[0].nextHop; got != "c.test" {
		t.Errorf("%s was taken while dead.test is full, want c.test", got)
	}
	l.done(l.hops["dead.test"])
	if got := l.take()[0].nextHop; got != "dead.test" {
		t.Errorf("%s was taken after dead.test had a place again", got)
	}
}

func TestGroupIsBounded(t *testing.T) {
	t.Parallel()
	l := newLane(1, 5, limits(1, 0))
	for _, n := range []int{1, 1, 1, 1, 1, 1, 60, 40, 60, 41, 100, 100} {
		l.add(waiting("x", n))
	}
	var got []string
	for len(l.ring) > 0 {
		tasks := l.take()
		sum := 0
		for _, task := range tasks {
			sum += len(task.recipients)
		}
		got = append(got, fmt.Sprintf("%d/%d", len(tasks), sum))
		l.done(l.hops["x"])
	}
	if want := []string{"5/5", "2/61", "2/100", "1/41", "1/100", "1/100"}; !slices.Equal(got, want) {
		t.Errorf("groups of tasks/recipients: %v, want %v", got, want)
	}
	if len(l.hops) != 0 {
		t.Errorf("%d next hops are remembered for nothing", len(l.hops))
	}
}

// A next hop with a rate gets its messages one after the other, and nobody else waits for it.
func TestRate(t *testing.T) {
	var began time.Time
	bubble(t, func(r *rig) {
		r.options.Limits = func(hop string) (int, float64) {
			if hop == "slow.test" {
				return 5, 0.5
			}
			return 5, 0
		}
	}, func(t *testing.T, r *rig) {
		began = time.Now()
		var slow, fast []mail.ID
		for range 10 {
			slow = append(slow, r.send("me@a.test", "you@slow.test"))
			fast = append(fast, r.send("me@a.test", "you@fast.test"))
		}
		synctest.Wait()
		for _, id := range fast {
			if r.load(id) != nil {
				t.Error("a message waits for another next hop's rate")
			}
		}
		left := func() (n int) {
			for _, id := range slow {
				if r.load(id) != nil {
					n++
				}
			}
			return n
		}
		for want := 9; want >= 0; want-- {
			if n := left(); n != want {
				t.Errorf("%s after the first message %d are left, want %d", time.Since(began), n, want)
			}
			time.Sleep(2 * time.Second)
			synctest.Wait()
		}
	})
}
