package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// headroom is what may be allocated at least between two collections of garbage, as far as maxPercent goes. What a
	// server remembers between messages is some MiB, for the store's tables are not on the heap: collecting whenever it
	// has doubled took 7 % of the time under load. With many sessions the heap is larger, and this means nothing.
	headroom   = 32 << 20
	maxPercent = 300
	usual      = 100
)

// collectSeldom has garbage collected less often while the heap is small, until ctx ends; unless the user has said how
// often (GOGC).
func collectSeldom(ctx context.Context) {
	if os.Getenv("GOGC") != "" {
		return
	}
	defer debug.SetGCPercent(usual)
	now := usual
	for tick := time.NewTicker(time.Second); ; {
		if wanted := percent(liveHeap()); wanted != now {
			now = wanted
			debug.SetGCPercent(now)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			tick.Stop()
			return
		}
	}
}

// percent is GOGC for a heap of that size, in steps of 50: changing it stops the world for a moment.
func percent(live uint64) int {
	return min(max(int(headroom*100/max(live, 1))/50*50, usual), maxPercent)
}

// liveHeap is what the last collection left, in octets.
func liveHeap() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindUint64 {
		return headroom
	}
	return sample[0].Value.Uint64()
}
