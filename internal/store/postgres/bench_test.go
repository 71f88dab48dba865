package postgres

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"waybill/internal/store"
	"waybill/internal/store/postgres/pgtest"
	"waybill/internal/store/storetest"
)

// BenchmarkCommit measures durable commits of one body of 8 KiB with four small keys, as accepting a message makes them,
// and beside it a bare writer, which does nothing but put the same rows of all who wait into one statement.
// WAYBILL_BENCH_DIR names the directory of the server's data, as the temporary one is often in memory.
func BenchmarkCommit(b *testing.B) {
	server := pgtest.New(b, os.Getenv("WAYBILL_BENCH_DIR"), "shared_buffers=512MB", "max_wal_size=4GB")
	for _, writers := range benchWriters() {
		for _, callers := range []int{1, 64, 256} {
			name := fmt.Sprintf("callers=%d/writers=%d", callers, writers)
			b.Run("store/"+name, func(b *testing.B) {
				s := benchStore(b, server, server.Schema(b), writers, func() {})
				measure(b, server, callers, func(n int64, body []byte) error {
					_, err := s.Commit(context.Background(), storetest.Acceptance(n, body))
					return err
				})
			})
			b.Run("bare/"+name, func(b *testing.B) {
				bare := newBare(b, server.SocketURL(server.Schema(b)), writers)
				defer bare.close()
				measure(b, server, callers, func(n int64, body []byte) error { return bare.commit(storetest.Acceptance(n, body)) })
			})
		}
	}
}

// BenchmarkStorage compares the ways in which the server can keep values of 8 KiB, text as of a letter.
func BenchmarkStorage(b *testing.B) {
	server := pgtest.New(b, os.Getenv("WAYBILL_BENCH_DIR"), "shared_buffers=512MB", "max_wal_size=4GB")
	for _, sql := range []string{
		"SET STORAGE EXTERNAL", "SET STORAGE EXTENDED, ALTER value SET COMPRESSION pglz",
		"SET STORAGE EXTENDED, ALTER value SET COMPRESSION lz4", "SET STORAGE MAIN, ALTER value SET COMPRESSION lz4",
	} {
		b.Run(strings.ReplaceAll(sql, " ", "_"), func(b *testing.B) {
			schema := server.Schema(b)
			s := benchStore(b, server, schema, benchWriters()[0], func() {
				server.Exec(b, "ALTER TABLE waybill_kv ALTER value "+sql, schema)
			})
			measure(b, server, 64, func(n int64, body []byte) error {
				_, err := s.Commit(context.Background(), storetest.Acceptance(n, body))
				return err
			})
		})
	}
}

func benchStore(b *testing.B, server *pgtest.Server, schema string, writers int, prepare func()) *Store {
	url := server.SocketURL(schema)
	if _, err := Migrate(b.Context(), url); err != nil {
		b.Fatal(err)
	}
	prepare()
	s, err := Open(Options{URL: url, Writers: writers})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	return s
}

// benchWriters are the numbers of writers to measure, WAYBILL_BENCH_WRITERS or the default.
func benchWriters() (list []int) {
	for f := range strings.FieldsSeq(os.Getenv("WAYBILL_BENCH_WRITERS")) {
		if n, err := strconv.Atoi(f); err == nil {
			list = append(list, n)
		}
	}
	if len(list) == 0 {
		list = []int{withDefaults(Options{}).Writers}
	}
	return list
}

// cpuTime returns what this process has used, which says more than a rate on a machine that others use too.
func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func measure(b *testing.B, server *pgtest.Server, callers int, commit func(n int64, body []byte) error) {
	body := content(8 << 10)
	b.SetBytes(8 << 10)
	var next atomic.Int64
	var wg sync.WaitGroup
	client, other, log := cpuTime(), server.CPU(), logged(b, server)
	b.ResetTimer()
	for range callers {
		wg.Go(func() {
			for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
				if err := commit(n, body); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
	b.ReportMetric(float64((cpuTime()-client).Microseconds())/float64(b.N), "client-µs/op")
	b.ReportMetric(float64((server.CPU()-other).Microseconds())/float64(b.N), "server-µs/op")
	b.ReportMetric((logged(b, server)-log)/float64(b.N), "logB/op")
}

// logged is how many octets the server has written to its log.
func logged(b *testing.B, server *pgtest.Server) float64 {
	n, err := strconv.ParseFloat(server.Query(b, "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')")[0], 64)
	if err != nil {
		b.Fatal(err)
	}
	return n
}

// content is text, or what cannot be compressed if WAYBILL_BENCH_CONTENT is random.
func content(size int) []byte {
	if os.Getenv("WAYBILL_BENCH_CONTENT") != "random" {
		return text(size)
	}
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
	return b
}

// text is like a letter: words, which repeat.
func text(size int) []byte {
	words := strings.Fields("the of and to in is that it was for on are as with his they at be this have from or one had by " +
		"meeting invoice attached please regards tomorrow conference agenda quarterly budget delivery shipment question")
	b := make([]byte, 0, size+16)
	for len(b) < size {
		b = append(append(b, words[rand.IntN(len(words))]...), " \r\n"[rand.IntN(12)/11])
	}
	return b[:size]
}

// bare puts the rows of those who wait into one INSERT, over some connections. Nothing is checked or remembered.
type bare struct {
	waiting chan *bareJob
	done    sync.WaitGroup
}

type bareJob struct {
	rows []row
	done chan error
}

func newBare(b *testing.B, url string, writers int) *bare {
	cfg, err := parse(url)
	if err != nil {
		b.Fatal(err)
	}
	w := &bare{waiting: make(chan *bareJob, 1024)}
	for i := range writers {
		l, err := dial(b.Context(), cfg)
		if err != nil {
			b.Fatal(err)
		}
		if i == 0 {
			for _, sql := range append(slices.Clone(migrations[0]), wishes...) {
				if strings.Contains(sql, "waybill_kv") {
					if err := l.exec(b.Context(), sql); err != nil {
						b.Fatal(err)
					}
				}
			}
		}
		w.done.Go(func() { w.work(l) })
	}
	return w
}

func (w *bare) work(l *link) {
	defer l.close()
	var room []byte
	for j := range w.waiting {
		jobs := []*bareJob{j}
		rows := j.rows
		for len(jobs) < groupBatches && len(w.waiting) > 0 {
			if j, ok := <-w.waiting; ok {
				jobs = append(jobs, j)
				rows = append(rows, j.rows...)
			}
		}
		err := l.send(context.Background(), &request{statement: insert, params: columns(rows, &room)})
		for _, j := range jobs {
			j.done <- err
		}
	}
}

func (w *bare) commit(b *store.Batch) error {
	j := &bareJob{done: make(chan error, 1)}
	for i := range b.Puts {
		j.rows = append(j.rows, row{key: string(b.Puts[i].Key), version: 1, value: b.Puts[i].Value})
	}
	w.waiting <- j
	return <-j.done
}

func (w *bare) close() {
	close(w.waiting)
	w.done.Wait()
}
