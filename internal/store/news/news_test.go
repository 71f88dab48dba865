package news

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"waybill/internal/store"
	"waybill/internal/store/keys"
	"waybill/internal/store/pebble"
)

// speaker says what it is given, one thing at a time, and notes what it hears.
type speaker struct {
	queue   []string
	heard   []string
	ages    []time.Duration
	recalls int
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

func (s *speaker) Recall(store.Snapshot) error { s.recalls++; return nil }

func (s *speaker) Sweep(store.Snapshot, *store.Batch) (more bool, err error) { return false, nil }

func newsTest(t *testing.T, do func(t *testing.T, st store.Store, join func(s *speaker) (x *Exchange, leave func()))) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st, err := pebble.Open(pebble.Options{Dir: "store", FS: vfs.NewMem(), MemTableSize: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
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

// TestLastWord: what is to be said at the end is said.
func TestLastWord(t *testing.T) {
	newsTest(t, func(t *testing.T, _ store.Store, join func(*speaker) (*Exchange, func())) {
		var one, two speaker
		_, stay := join(&two)
		_, leave := join(&one)
		one.queue = []string{"farewell"}
		leave()
		synctest.Wait()
		if !slices.Equal(two.heard, []string{"farewell"}) {
			t.Errorf("heard %q", two.heard)
		}
		stay()
	})
}
