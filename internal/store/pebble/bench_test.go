package pebble

import (
	"context"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"waybill/internal/store/storetest"
)

// BenchmarkCommit measures durable commits of one body of 8 KiB with four small keys, as accepting a message
// makes them. WAYBILL_BENCH_DIR names the directory to use, as the temporary one is often in memory.
func BenchmarkCommit(b *testing.B) {
	for _, writers := range []int{1, 20, 64} {
		b.Run("writers="+strconv.Itoa(writers), func(b *testing.B) { benchmarkCommit(b, writers) })
	}
}

func benchmarkCommit(b *testing.B, writers int) {
	dir, err := os.MkdirTemp(os.Getenv("WAYBILL_BENCH_DIR"), "bench")
	if err != nil {
		b.Fatal(err)
	}
	defer os.RemoveAll(dir)
	s, err := Open(Options{Dir: dir})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	body := make([]byte, 8<<10)
	for i := range body {
		body[i] = "abcdefghijklmnopqrstuvwxyz ,.\r\n0123"[rand.IntN(35)]
	}
	before, cpu := written(), cpuTime()
	b.SetBytes(8 << 10)
	b.ReportAllocs()
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ResetTimer()
	for range writers {
		wg.Go(func() {
			for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
				if _, err := s.Commit(context.Background(), storetest.Acceptance(n, body)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
	if err := s.current.Load().db.Flush(); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(written()-before)/float64(b.N), "writtenB/op")
	b.ReportMetric(float64((cpuTime()-cpu).Microseconds())/float64(b.N), "cpu-µs/op")
}

// cpuTime returns what this process has used, which says more than a rate on a machine that others use too.
func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// written returns the octets that this process has sent to the disk.
func written() (n int64) {
	io, _ := os.ReadFile("/proc/self/io")
	for line := range strings.Lines(string(io)) {
		if rest, ok := strings.CutPrefix(line, "write_bytes: "); ok {
			n, _ = strconv.ParseInt(strings.TrimSpace(rest), 10, 64)
		}
	}
	return n
}
