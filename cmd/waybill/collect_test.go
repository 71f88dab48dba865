package main

import (
	"runtime"
	"testing"
)

func TestPercent(t *testing.T) {
	t.Parallel()
	for live, want := range map[uint64]int{0: 300, 3 << 20: 300, 12 << 20: 250, 20 << 20: 150, 32 << 20: 100, 1 << 40: 100} {
		if got := percent(live); got != want {
			t.Errorf("with %d octets: %d, want %d", live, got, want)
		}
	}
	runtime.GC()
	if liveHeap() == 0 {
		t.Error("the runtime does not tell its live heap")
	}
}
