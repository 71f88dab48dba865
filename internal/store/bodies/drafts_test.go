package bodies_test

import (
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
