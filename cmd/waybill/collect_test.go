package main

import (
	"runtime"
	"testing"
)

func TestPercentFor(t *testing.T) {
	t.Parallel()
	for live, want := range map[uint64]int{0: 300, 3 << 20: 300, 12 << 20: 250, 20 << 20: 150, 32 << 20: 100, 1 << 40: 100} {
		if got := percentFor(live); got != want {
			t.Errorf("with %d octets: %d, want %d", live, got, want)
		}
	}
	runtime.GC()
	if live, allocated := heap(); live == 0 || allocated < live {
		t.Errorf("the runtime tells of %d octets alive of %d allocated", live, allocated)
	}
}

// TestCollectorTidiesOnce: after a busy time, not during it, and not for a trickle.
func TestCollectorTidiesOnce(t *testing.T) {
	t.Parallel()
	var c collector
	allocated := uint64(0)
	for i, step := range []struct {
		more uint64
		want bool
	}{{1 << 20, false}, {50 << 20, false}, {50 << 20, false}, {1000, true}, {1000, false}, {60 << 10, false}, {70 << 10, false}, {8 << 20, false}, {0, true}} {
		allocated += step.more
		if got := c.idle(allocated); got != step.want {
			t.Errorf("look %d: %v", i, got)
		}
	}
}
