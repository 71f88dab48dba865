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

const (
	look      = 400 * time.Millisecond // how often
	tidyAfter = 8 << 20                // octets allocated since the last time make it worth while to tidy up
	quiet     = 64 << 10               // octets allocated since the last look are a server's that idles
)

// collect sees to the heap until ctx ends. While it is small, garbage is collected less often; unless the user has said how
// often (GOGC). When a busy time is over, its garbage is collected and the memory goes back to the system.
func collect(ctx context.Context) {
	_, theirs := os.LookupEnv("GOGC")
	percent, c := usual, collector{}
	for tick := time.NewTicker(look); ; {
		live, allocated := heap()
		if wanted := percentFor(live); wanted != percent && !theirs {
			percent = wanted
			debug.SetGCPercent(percent)
		}
		if c.idle(allocated) {
			debug.FreeOSMemory()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			tick.Stop()
			return
		}
	}
}

// percentFor is GOGC for a heap of that size, in steps of 50: changing it stops the world for a moment.
func percentFor(live uint64) int {
	return min(max(int(headroom*100/max(live, 1))/50*50, usual), maxPercent)
}

// heap returns what the last collection left, and what was ever allocated, in octets.
func heap() (live, allocated uint64) {
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(samples)
	for _, s := range samples {
		if s.Value.Kind() != metrics.KindUint64 {
			return headroom, 0
		}
	}
	return samples[0].Value.Uint64(), samples[1].Value.Uint64()
}

// collector knows when a busy time is over.
type collector struct{ before, tidied uint64 }

// idle says whether to tidy up: nothing much was allocated since the last look, but a lot since the last time.
func (c *collector) idle(allocated uint64) bool {
	worthWhile := allocated-c.before < quiet && allocated-c.tidied > tidyAfter
	c.before = allocated
	if worthWhile {
		c.tidied = allocated
	}
	return worthWhile
}
