package postgres

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"waybill/internal/store"
	"waybill/internal/store/postgres/pgtest"
)

// BenchmarkCommit measures durable commits of one body of 8 KiB with four small keys, as accepting a message makes them,
// and beside it a bare writer, which does nothing but put the same rows of all who wait into one statement.
// WAYBILL_BENCH_DIR names the directory of the server's data, as the temporary one is often in memory.
func BenchmarkCommit(b *testing.B) {
	server := pgtest.New(b, os.Getenv("WAYBILL_BENCH_DIR"), "shared_buffers=512MB", "max_wal_size=4GB")
	for _, writers := range []int{1, 2, 3, 4} {
		for _, callers := range []int{1, 64, 256} {
			name := fmt.Sprintf("callers=%d/writers=%d", callers, writers)
			b.Run("store/"+name, func(b *testing.B) {
				url := server.SocketURL(server.Schema(b))
				if err := Migrate(b.Context(), url); err != nil {
					b.Fatal(err)
				}
				s, err := Open(Options{URL: url, Writers: writers})
				if err != nil {
					b.Fatal(err)
				}
				defer s.Close()
				measure(b, callers, func(n int64, body []byte) error {
					_, err := s.Commit(context.Background(), acceptance(n, body))
					return err
				})
			})
			b.Run("bare/"+name, func(b *testing.B) {
				bare := newBare(b, server.SocketURL(server.Schema(b)), writers)
				defer bare.close()
				measure(b, callers, func(n int64, body []byte) error { return bare.commit(acceptance(n, body)) })
			})
		}
	}
}

func measure(b *testing.B, callers int, commit func(n int64, body []byte) error) {
	body := text(8 << 10)
	b.SetBytes(8 << 10)
	var next atomic.Int64
	var wg sync.WaitGroup
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

// acceptance is a batch like that of an accepted message.
func acceptance(n int64, body []byte) *store.Batch {
	var id [16]byte
	binary.BigEndian.PutUint64(id[:], uint64(n)*0x9e3779b97f4a7c15)
	batch := &store.Batch{}
	batch.Put(append([]byte("body/"), id[:]...), body)
	batch.Put(fmt.Appendf(nil, "ref/%x/spool/%d", id, n), nil)
	batch.Create(fmt.Appendf(nil, "spool/%012d", n), bytes.Repeat([]byte("r"), 250))
	batch.Put(fmt.Appendf(nil, "due/%012d", n), nil)
	batch.Put(fmt.Appendf(nil, "trail/20261123/%012d/1", n), bytes.Repeat([]byte("t"), 700))
	return batch
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
			for _, sql := range migrations[0] {
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
	for j := range w.waiting {
		jobs := []*bareJob{j}
		rows := j.rows
		for len(jobs) < groupBatches && len(w.waiting) > 0 {
			if j, ok := <-w.waiting; ok {
				jobs = append(jobs, j)
				rows = append(rows, j.rows...)
			}
		}
		err := l.send(context.Background(), &request{statement: insert, params: columns(rows)})
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

var _ = strconv.Itoa
