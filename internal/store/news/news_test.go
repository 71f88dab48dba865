package news

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"waybill/internal/store"
	"waybill/internal/store/keys"
	"waybill/internal/store/pebble/pebbletest"
)

// speaker says what it is given, one thing at a time, and notes what it hears.
type speaker struct {
	queue   []string
	heard   []string
	ages    []time.Duration
	recalls int
	fails   error // of Recall
}

func (s *speaker) Say(*store.Batch) (said []byte, more bool) {
	if len(s.queue) == 0 {
		return nil, false
	}
	said, s.queue = []byte(s.queue[0]), s.queue[1:]
	return said, len(s.queue) > 0
}

func (s *speaker) Hear(said []byte, ago time.Duration) {
	s.heard, s.ages = append(s.heard, string(said)), append(s.ages, ago)
}

func (s *speaker) Recall(store.Snapshot) error { s.recalls++; return s.fails }

func (s *speaker) Sweep(store.Snapshot, *store.Batch) (more bool, err error) { return false, nil }

func newsTest(t *testing.T, do func(t *testing.T, st store.Store, join func(s *speaker) (x *Exchange, leave func()))) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := pebbletest.Open(t)
		do(t, st, func(s *speaker) (*Exchange, func()) {
			ctx, cancel := context.WithCancel(t.Context())
			x, ended := New(st, "topic", s), make(chan struct{})
			go func() {
				x.Run(ctx)
				close(ended)
			}()
			synctest.Wait()
			return x, func() {
				cancel()
				<-ended
			}
		})
	})
}

// TestEachHearsTheOthers: in their order, once, soon, and not oneself; other topics are others' business.
func TestEachHearsTheOthers(t *testing.T) {
	newsTest(t, func(t *testing.T, st store.Store, join func(*speaker) (*Exchange, func())) {
		var nodes [3]speaker
		var all [3]*Exchange
		for i := range nodes {
			var leave func()
			all[i], leave = join(&nodes[i])
			defer leave()
		}
		b := &store.Batch{}
		b.Put(keys.News("topical", keys.Process{7}, 1), encode(time.Now(), 0, []byte("not ours")))
		if _, err := st.Commit(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		want := [3][]string{}
		for n := range 10 {
			for i := range nodes {
				said := fmt.Sprintf("%d of %d", n, i)
				nodes[i].queue = append(nodes[i].queue, said)
				for k := range nodes {
					if k != i {
						want[k] = append(want[k], said)
					}
				}
			}
		}
		began := time.Now()
		for _, x := range all {
			x.Tell()
		}
		time.Sleep(9*tellEvery + time.Millisecond) // a thing in a quarter of a second
		synctest.Wait()
		for i := range nodes {
			slices.Sort(want[i])
			heard := slices.Sorted(slices.Values(nodes[i].heard))
			if !slices.Equal(heard, want[i]) {
				t.Errorf("node %d heard %q, want %q", i, heard, want[i])
			}
			for k := range nodes {
				if of := slices.DeleteFunc(slices.Clone(nodes[i].heard), func(s string) bool { return s[5:] != fmt.Sprint(k) }); !slices.IsSorted(of) {
					t.Errorf("node %d heard %q", i, of)
				}
			}
			if slices.Max(nodes[i].ages) > 0 || nodes[i].recalls != 1 {
				t.Errorf("node %d: ages %v, %d recalls", i, nodes[i].ages, nodes[i].recalls)
			}
		}
		if time.Since(began) < 2*time.Second {
			t.Error("too fast to mean anything")
		}
	})
}

// TestWhoComesLater hears the last things, with their age, and learns that it missed others; so does who was away.
func TestWhoComesLater(t *testing.T) {
	newsTest(t, func(t *testing.T, st store.Store, join func(*speaker) (*Exchange, func())) {
		var one, two speaker
		x, leave := join(&one)
		say := func(n int) {
			for i := range n {
				one.queue = append(one.queue, fmt.Sprint(i))
			}
			x.Tell()
			time.Sleep(time.Duration(n+1) * tellEvery)
			synctest.Wait()
		}
		say(kept + 10)
		y := New(st, "topic", &two) // nobody wakes it
		if err := y.Begin(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(two.heard) != kept || two.heard[0] != "10" || two.ages[0] < 10*time.Second || two.ages[kept-1] > time.Second || two.recalls != 1 {
			t.Errorf("heard %q, ages %v, %d recalls", two.heard, two.ages, two.recalls)
		}
		say(3)
		if err := y.Begin(t.Context()); err != nil || len(two.heard) != kept+3 || two.recalls != 1 || two.ages[kept] != 0 {
			t.Errorf("heard %q, ages %v, %d recalls, %v", two.heard, two.ages, two.recalls, err)
		}
		say(kept + 1)
		if err := y.Begin(t.Context()); err != nil || len(two.heard) != 2*kept+3 || two.recalls != 2 {
			t.Errorf("heard %d things, %d recalls, %v", len(two.heard), two.recalls, err)
		}
		leave()
	})
}

// torn is a store of which so many entries can be read, and then no more; all, if it is below zero.
type torn struct {
	store.Store
	after int
}

type tornSnapshot struct {
	store.Snapshot
	of *torn
}

func (s *torn) Snapshot() (store.Snapshot, error) {
	snap, err := s.Store.Snapshot()
	return tornSnapshot{snap, s}, err
}

func (s tornSnapshot) Scan(r store.Range) iter.Seq2[store.Entry, error] {
	return func(yield func(store.Entry, error) bool) {
		for e, err := range s.Snapshot.Scan(r) {
			if s.of.after == 0 {
				yield(store.Entry{}, store.ErrUnavailable)
				return
			}
			s.of.after--
			if !yield(e, err) {
				return
			}
		}
	}
}

// TestTornListening: where the store fails midway, each thing is heard once all the same, with its age if it is old, and what the
// member could not read again it reads the next time.
func TestTornListening(t *testing.T) {
	newsTest(t, func(t *testing.T, st store.Store, join func(*speaker) (*Exchange, func())) {
		var one, two speaker
		x, leave := join(&one)
		defer leave()
		say := func(n int) {
			one.queue = append(one.queue, slices.Repeat([]string{"x"}, n)...)
			x.Tell()
			time.Sleep(time.Duration(n+1) * tellEvery)
			synctest.Wait()
		}
		say(4)
		time.Sleep(time.Minute)
		way := &torn{st, 3}
		y := New(way, "topic", &two)
		if err := y.Begin(t.Context()); !errors.Is(err, store.ErrUnavailable) || len(two.heard) == 0 || len(two.heard) == 4 {
			t.Fatalf("torn: heard %q, %v", two.heard, err)
		}
		way.after = -1
		if err := y.Begin(t.Context()); err != nil || len(two.heard) != 4 || slices.Min(two.ages) < time.Minute {
			t.Errorf("heard %q, ages %v, %v", two.heard, two.ages, err)
		}
		say(kept + 1)
		way.after = 3
		if err := y.Begin(t.Context()); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("torn: %v", err)
		}
		recalls := two.recalls
		way.after, two.fails = -1, store.ErrUnavailable
		if err := y.Begin(t.Context()); !errors.Is(err, store.ErrUnavailable) || two.recalls != recalls+1 {
			t.Errorf("%v, %d recalls more", err, two.recalls-recalls)
		}
		two.fails = nil
		for range 2 {
			if err := y.Begin(t.Context()); err != nil || two.recalls != recalls+2 || len(two.heard) != kept+4 {
				t.Errorf("heard %d things, %d recalls more, %v", len(two.heard), two.recalls-recalls, err)
			}
		}
	})
}

// TestLastWords: what is to be said at the end is said, also if it is too much for once.
func TestLastWords(t *testing.T) {
	newsTest(t, func(t *testing.T, _ store.Store, join func(*speaker) (*Exchange, func())) {
		var one, two speaker
		_, stay := join(&two)
		defer stay()
		_, leave := join(&one)
		words := []string{"farewell", "and", "thanks"}
		one.queue = slices.Clone(words)
		leave()
		synctest.Wait()
		if !slices.Equal(two.heard, words) {
			t.Errorf("heard %q", two.heard)
		}
	})
}
