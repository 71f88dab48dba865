package postgres

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"waybill/internal/store"
	"waybill/internal/store/postgres/pgtest"
	"waybill/internal/store/storetest"
)

// BenchmarkPoll measures what it costs to ask for the changes of two other nodes: where nothing is new, and where each has committed
// a batch since. The processor times are those of the poll alone in the first case.
func BenchmarkPoll(b *testing.B) {
	server := pgtest.New(b, os.Getenv("WAYBILL_BENCH_DIR"))
	schema := server.Schema(b)
	var nodes []*Store
	for range 3 {
		nodes = append(nodes, benchStore(b, server, schema, 2, func() {}))
	}
	_, cancel := nodes[0].Watch([]byte("x/"))
	defer cancel()
	for n := range int64(3000) { // what is remembered of the last minute
		if _, err := nodes[n%3].Commit(context.Background(), storetest.Acceptance(n, []byte("body"))); err != nil {
			b.Fatal(err)
		}
	}
	news := &store.Batch{Puts: []store.Put{{Key: []byte("x/y")}}}
	for others := range 3 {
		b.Run(fmt.Sprintf("news=%d", others), func(b *testing.B) {
			k := &keeper{s: nodes[0]}
			defer k.drop()
			if err := k.poll(); err != nil {
				b.Fatal(err)
			}
			k.swept = time.Now().Add(time.Hour)
			client, served := cpuTime(), server.CPU()
			b.ResetTimer()
			for range b.N {
				if others > 0 {
					b.StopTimer()
					for _, node := range nodes[1 : 1+others] {
						if _, err := node.Commit(context.Background(), news); err != nil {
							b.Fatal(err)
						}
					}
					b.StartTimer()
				}
				if err := k.poll(); err != nil {
					b.Fatal(err)
				}
			}
			b.StopTimer()
			if others == 0 {
				b.ReportMetric(float64((cpuTime()-client).Microseconds())/float64(b.N), "client-µs/op")
				b.ReportMetric(float64((server.CPU()-served).Microseconds())/float64(b.N), "server-µs/op")
			}
		})
	}
}
