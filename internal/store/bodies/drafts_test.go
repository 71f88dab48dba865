package bodies_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"waybill/internal/store"
	"waybill/internal/store/bodies"
	"waybill/internal/store/keys"
)

// TestSweepByOwnClock: how old a draft is goes by how long the sweeper has seen its mark unchanged, whatever the clocks of the writer and of the sweeper say.
func TestSweepByOwnClock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, testSweepByOwnClock)
}

func testSweepByOwnClock(t *testing.T) {
	const life = time.Hour
	for what, begun := range map[string]time.Time{"the sweeper's clock is ahead": time.Now().Add(-2 * time.Hour), "the writer's is": time.Now().Add(2 * time.Hour)} {
		st := open(t, vfs.NewMem())
		s := bodies.With(bodies.Options{Store: st, Shared: true})
		sweeps := func(want int) {
			t.Helper()
			if n, err := s.Sweep(t.Context(), life); n != want || err != nil {
				t.Errorf("%s: %d drafts were swept, %v, want %d", what, n, err, want)
			}
		}
		mark := func() {
			var b store.Batch
			b.Put(keys.Draft(begun, bodies.ID{1}), nil)
			commit(t, st, &b)
		}
		mark()
		sweeps(0)
		time.Sleep(life)
		mark() // another chunk came
		sweeps(0)
		time.Sleep(life - 1)
		sweeps(0)
		time.Sleep(time.Nanosecond)
		sweeps(1)
		if n := count(t, st, keys.Drafts()); n != 0 {
			t.Errorf("%s: %d marks are left", what, n)
		}
		st.Close()
	}
}

// TestSweepBesideSlowWriter: a draft that another process is at work on is not swept, however long it takes in all.
func TestSweepBesideSlowWriter(t *testing.T) {
	t.Parallel()
	for what, place := range map[string]bodies.Objects{"chunks": nil, "objects": &memory{}} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { testSweepBesideSlowWriter(t, place) })
		})
	}
}

func testSweepBesideSlowWriter(t *testing.T, place bodies.Objects) {
	const life = time.Hour
	st := open(t, vfs.NewMem())
	o := bodies.Options{Store: st, Objects: place, Shared: true}
	writer, sweeper := bodies.With(o), bodies.With(o)
	if err := writer.Claim(t.Context()); errors.Is(err, bodies.ErrUnsettled) {
		time.Sleep(settling)
	}
	slow, given, content := writer.NewDraft(), writer.NewDraft(), octets(8*objectSize)
	defer slow.Discard()
	defer given.Discard()
	write(t, given, content, len(content)) // and then nothing more
	for n := range 8 {
		write(t, slow, content[n*objectSize:][:objectSize], objectSize)
		want := 0
		if n == 4 {
			want = 1 // the one that nothing comes for
		}
		if swept, err := sweeper.Sweep(t.Context(), life); swept != want || err != nil {
			t.Errorf("%d drafts were swept when part %d had come, %v, want %d", swept, n, err, want)
		}
		time.Sleep(life / 4)
	}
	body := finish(t, st, slow, nil, "h")
	slow.Committed()
	checkContent(t, sweeper, body, content)
}
