package bodies_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"waybill/internal/store"
	"waybill/internal/store/bodies"
	"waybill/internal/store/pebble"
	"waybill/internal/store/postgres"
	"waybill/internal/store/postgres/pgtest"
)

// BenchmarkAccept takes messages in, eight at a time, each durable when its turn is over: in Pebble and in PostgreSQL, and in each beside an object
// store that takes what is beyond 64 KiB. Everything lies in WAYBILL_BENCH_DIR, or where temporary files are; the object store's in TMPDIR.
func BenchmarkAccept(b *testing.B) {
	dir := os.Getenv("WAYBILL_BENCH_DIR")
	server := pgtest.New(b, dir, "shared_buffers=512MB", "max_wal_size=4GB")
	for name, open := range map[string]func(*testing.B) store.Store{
		"pebble":   func(b *testing.B) store.Store { return benchPebble(b, dir) },
		"postgres": func(b *testing.B) store.Store { return benchPostgres(b, server) },
	} {
		for _, size := range []int{8 << 10, 64 << 10, 96 << 10, 128 << 10, 256 << 10, 1 << 20} {
			content := octets(size)
			b.Run(fmt.Sprintf("%s/%dKiB/store", name, size>>10), func(b *testing.B) {
				st := open(b)
				accept(b, st, bodies.New(st), content)
			})
			if size > headSize {
				b.Run(fmt.Sprintf("%s/%dKiB/objects", name, size>>10), func(b *testing.B) {
					st := open(b)
					accept(b, st, bodies.With(bodies.Options{Store: st, Objects: newBucket(b)}), content)
				})
			}
		}
	}
}

func benchPebble(b *testing.B, dir string) store.Store {
	dir, err := os.MkdirTemp(dir, "waybill-bench")
	if err != nil {
		b.Fatal(err)
	}
	st, err := pebble.Open(pebble.Options{Dir: dir})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { st.Close(); os.RemoveAll(dir) })
	return st
}

func benchPostgres(b *testing.B, server *pgtest.Server) store.Store {
	url := server.URL(server.Schema(b))
	if _, err := postgres.Migrate(b.Context(), url); err != nil {
		b.Fatal(err)
	}
	st, err := postgres.Open(postgres.Options{URL: url})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { st.Close() })
	return st
}

func accept(b *testing.B, st store.Store, s *bodies.Bodies, content []byte) {
	b.SetBytes(int64(len(content)))
	b.SetParallelism(4) // times two cores
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if err := acceptOne(st, s, content); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
}

func acceptOne(st store.Store, s *bodies.Bodies, content []byte) error {
	d := s.NewDraft()
	defer d.Discard()
	if _, err := d.Write(content); err != nil {
		return err
	}
	var batch store.Batch
	if _, err := d.Finish(&batch, []byte("Received: by mail.example.test\r\n"), "h"); err != nil {
		return err
	}
	if _, err := st.Commit(context.Background(), &batch); err != nil {
		return err
	}
	d.Committed()
	return nil
}
