package queue

import (
	"fmt"
	"slices"
	"sync"
	"testing"
)

func waiting(hop string, recipients int) *task {
	return &task{entry: &entry{}, nextHop: hop, recipients: make([]int, recipients)}
}

func TestNextHopsTakeTurns(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	l := newLane(&mu, 10, 2, 1)
	mu.Lock()
	defer mu.Unlock()
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
		t.Errorf("dead.test may give out a third task with %d places", l.perHop)
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
	var mu sync.Mutex
	l := newLane(&mu, 1, 1, 5)
	mu.Lock()
	defer mu.Unlock()
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
