package postgres

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"waybill/internal/store"
)

func keyed(keys ...string) *job {
	b := &store.Batch{}
	for _, key := range keys {
		b.Put([]byte(key), nil)
	}
	return newJob(b)
}

func ranging(from, to string) *job {
	return newJob(&store.Batch{DeleteRanges: []store.Range{{Start: []byte(from), End: []byte(to)}}})
}

func pushed(t *testing.T, jobs ...*job) *queue {
	t.Helper()
	q := newQueue()
	for _, j := range jobs {
		if err := q.push(j); err != nil {
			t.Fatal(err)
		}
	}
	return q
}

// gathered are the numbers of the jobs that a group takes now.
func (q *queue) gathered(all []*job) (numbers []int, g *group) {
	q.mu.Lock()
	defer q.mu.Unlock()
	g = q.gather()
	for _, j := range g.jobs {
		for i := range all {
			if all[i] == j {
				numbers = append(numbers, i)
			}
		}
	}
	return numbers, g
}

// TestGroupsHaveNoKeyInCommon, and a batch does not overtake another one that it shares a key with.
func TestGroupsHaveNoKeyInCommon(t *testing.T) {
	t.Parallel()
	all := []*job{
		keyed("a"), keyed("a", "b"), keyed("c"), // one group: within it they are in order
		ranging("b", "d"), keyed("b"), keyed("x"), ranging("y", "z"), keyed("yy"), keyed("zz"),
	}
	q := pushed(t, all...)
	is := func(what string, got []int, want ...int) {
		t.Helper()
		if len(got) != len(want) {
			t.Fatalf("%s: %v, want %v", what, got, want)
		}
		for i := range got {
			if got[i] != want[i] {
				t.Fatalf("%s: %v, want %v", what, got, want)
			}
		}
	}
	// The ranges are for a group of their own; 4 and 7 stay behind them.
	first, g1 := q.gathered(all)
	is("first", first, 0, 1, 2, 5, 8)
	// The first range covers keys under way.
	second, g2 := q.gathered(all)
	is("second", second, 6)
	none, _ := q.gathered(all)
	is("nothing is free", none)
	q.release(g1)
	third, g3 := q.gathered(all)
	is("third", third, 3)
	q.release(g2)
	fourth, g4 := q.gathered(all)
	is("fourth", fourth, 7)
	q.release(g3)
	fifth, g5 := q.gathered(all)
	is("fifth", fifth, 4)
	q.release(g4)
	q.release(g5)
	if len(q.busy) != 0 || len(q.ranges) != 0 || q.groups != 0 || len(q.waiting) != 0 {
		t.Errorf("left: %v, %v, %d groups, %d waiting", q.busy, q.ranges, q.groups, len(q.waiting))
	}
}

// TestReadersShare: groups that only read a key's version do not wait for each other, but whoever changes it waits for all.
func TestReadersShare(t *testing.T) {
	t.Parallel()
	reading := func(key string, version store.Version, changes ...string) *job {
		b := &store.Batch{}
		b.Check([]byte(key), version)
		for _, key := range changes {
			b.Put([]byte(key), nil)
		}
		return newJob(b)
	}
	waiting := func(q *queue, all ...*job) int {
		t.Helper()
		for _, j := range all {
			if err := q.push(j); err != nil {
				t.Fatal(err)
			}
		}
		numbers, _ := q.gathered(all)
		return len(all) - len(numbers)
	}
	q := newQueue()
	a := reading("lease", 7, "a")
	if n := waiting(q, a); n != 0 {
		t.Fatal("the first one waits")
	}
	if n := waiting(q, reading("lease", 7, "b"), reading("lease", 8)); n != 0 {
		t.Error("a reader waits for another")
	}
	if n := waiting(q, keyed("lease")); n != 1 {
		t.Error("a change does not wait for readers")
	}
	if n := waiting(q, reading("lease", 7, "c")); n != 1 {
		t.Error("a reader overtakes a change")
	}
	if n := waiting(q, reading("other", store.Absent)); n != 0 {
		t.Fatal("the first one waits")
	}
	if n := waiting(q, reading("other", store.Absent)); n != 1 {
		t.Error("two may see to it that a key stays absent")
	}
	if n := waiting(q, reading("own", 1, "own")); n != 0 {
		t.Fatal("the first one waits")
	}
	if n := waiting(q, reading("own", 1)); n != 1 {
		t.Error("a reader does not wait for who reads and changes")
	}
}

// TestSmallGroupIsHeldBack while another one has just begun, but not for long.
func TestSmallGroupIsHeldBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := pushed(t, keyed("a"))
		begun := time.Now()
		first := q.take()
		if time.Since(begun) != 0 {
			t.Errorf("the first one waited for %s", time.Since(begun))
		}
		if err := q.push(keyed("b")); err != nil {
			t.Fatal(err)
		}
		second := q.take()
		if waited := time.Since(begun); waited != holdBack || len(second.jobs) != 1 {
			t.Errorf("the second one waited for %s", waited)
		}
		for range groupLeast {
			if err := q.push(keyed("c")); err != nil {
				t.Fatal(err)
			}
		}
		if q.take(); time.Since(begun) != holdBack {
			t.Errorf("a large one waited until %s", time.Since(begun))
		}
		q.release(first)
	})
}

// TestWaitEnds: by a done context while nobody has the batch, and by patience.
func TestWaitEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, behind := keyed("a"), keyed("a")
		q := pushed(t, j, behind)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if o := q.wait(ctx, j, time.Hour); !errors.Is(o.err, context.Canceled) {
			t.Errorf("with a done context: %v", o.err)
		}
		g := q.take()
		if len(g.jobs) != 1 || g.jobs[0] != behind {
			t.Fatalf("%d jobs", len(g.jobs))
		}
		if o := q.wait(ctx, behind, time.Second); !errors.Is(o.err, store.ErrUnknown) {
			t.Errorf("taken: %v, want ErrUnknown", o.err)
		}
		late := keyed("a")
		if err := q.push(late); err != nil {
			t.Fatal(err)
		}
		if o := q.wait(t.Context(), late, time.Second); !errors.Is(o.err, store.ErrUnavailable) {
			t.Errorf("not taken: %v, want ErrUnavailable", o.err)
		}
		q.fail(store.ErrUnavailable)
		if err := q.push(keyed("b")); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("push after a failure: %v", err)
		}
		q.accept()
		q.close()
		if err := q.push(keyed("b")); !errors.Is(err, store.ErrClosed) {
			t.Errorf("push after the end: %v", err)
		}
		if q.take() != nil {
			t.Error("a group after the end")
		}
	})
}
