package pebble

import (
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
)

const (
	// memTableSize: the larger, the fewer changes of the log, and the more of what lives for seconds only (spool
	// records, due entries) dies before it is written a second time. The first table has 256 KiB and each is twice
	// the one before, so that a store at rest is small. Commits of 8 KiB and four small keys at 64 writers took
	// 57 µs of CPU and 20 KB written each with 64 MiB, 73 µs and 26 KB with 32 MiB.
	memTableSize = 64 << 20
	// blockCache is for blocks of files alone. Pebble takes the tables in memory out of the same cache, which
	// therefore is larger: a cache full of tables makes each check of an absent key read filters from the disk.
	blockCache = 32 << 20
	// separateFrom is the size of the values that go into files of their own, which compaction does not copy.
	separateFrom = 512
	// referenceDepth is as good as none: beyond it a compaction copies the values of neighbouring keys together, for the
	// sake of scans. Bodies are read one at a time. With 10, large messages were written a third time.
	referenceDepth = 1000
)

// cacheSize leaves room for the table being filled and the one being written out.
func cacheSize(o Options) int64 { return blockCache + 2*int64(o.MemTableSize) }

// tuned returns Pebble's options: bodies of some KiB that are written once, read once and deleted, and many
// small keys that live for seconds.
func (s *Store) tuned(g *generation) *pebble.Options {
	o := &pebble.Options{
		FS:                 g.fence,
		Cache:              s.cache,
		Logger:             g.log,
		EventListener:      g.log.listener(),
		FormatMajorVersion: pebble.FormatValueSeparation,

		MemTableSize:                s.o.MemTableSize,
		MemTableStopWritesThreshold: 3,
		L0CompactionThreshold:       8,
		// As good as never: a writer that is stopped waits for a compaction, and if the disk fails meanwhile no compaction
		// ends any more; it would wait for ever. What comes in is bounded by the log's syncs.
		L0StopWritesThreshold:      1000,
		LBaseMaxBytes:              64 << 20,
		CompactionConcurrencyRange: func() (int, int) { return 1, 2 },
		BytesPerSync:               1 << 20,
		MaxOpenFiles:               500,
		// Space that a deleted range held comes back without waiting for the table in memory to fill.
		FlushDelayDeleteRange: 10 * time.Second,
	}
	o.Experimental.ValueSeparationPolicy = func() pebble.ValueSeparationPolicy {
		return pebble.ValueSeparationPolicy{
			Enabled: true, MinimumSize: separateFrom, MaxBlobReferenceDepth: referenceDepth,
			RewriteMinimumAge: time.Minute, TargetGarbageRatio: 0.3,
		}
	}
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	return o
}
