package pebble

import (
	"os"
	"strconv"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
)

const (
	cacheSize    = 32 << 20
	memTableSize = 32 << 20
	// separateFrom is the size of the values that go into files of their own, which compaction does not copy.
	separateFrom = 1 << 10
)

// tuned returns Pebble's options: bodies of some KiB that are written once, read once and deleted, and many
// small keys that live for seconds.
func (s *Store) tuned(g *generation) *pebble.Options {
	o := &pebble.Options{
		FS:                 g.fence,
		Cache: pebble.NewCache(int64(env("CA",32))<<20),
		Logger:             g.log,
		EventListener:      g.log.listener(),
		FormatMajorVersion: pebble.FormatValueSeparation,

		MemTableSize: uint64(env("MT", 32))<<20,
		MemTableStopWritesThreshold: env("ST",4),
		L0CompactionThreshold: env("L0",4),
		L0StopWritesThreshold:       24,
		LBaseMaxBytes: int64(env("LB",64))<<20,
		CompactionConcurrencyRange:  func() (int, int) { return 1, 2 },
		BytesPerSync:                1 << 20,
		MaxOpenFiles:                500,
		// Space that a deleted range held comes back without waiting for the table in memory to fill.
		FlushDelayDeleteRange: 10 * time.Second,
	}
	o.Experimental.ValueSeparationPolicy = func() pebble.ValueSeparationPolicy {
		return pebble.ValueSeparationPolicy{
			Enabled: true, MinimumSize: env("MIN",1024), MaxBlobReferenceDepth: 10,
			RewriteMinimumAge: time.Minute, TargetGarbageRatio: 0.3,
		}
	}
	if env("NC",0)==1 { o.ApplyCompressionSettings(func() pebble.DBCompressionSettings { return pebble.DBCompressionNone }) }
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	return o
}

func env(k string, d int) int { if n, err := strconv.Atoi(os.Getenv(k)); err == nil { return n }; return d }
