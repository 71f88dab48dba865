package postgres_test

import (
	"testing"
	"time"

	"waybill/internal/store"
	"waybill/internal/store/postgres"
)

// TestBatchIDsAreForgotten, but not before ten minutes have passed twice at most.
func TestBatchIDsAreForgotten(t *testing.T) {
	t.Parallel()
	s := openStore(t, postgres.Options{URL: empty(t)})
	b := &store.Batch{ID: store.NewBatchID(time.Now()), Counters: []store.Counter{{Key: []byte("n"), Add: 1}}}
	number := func() int64 {
		r, err := s.Commit(t.Context(), b)
		if err != nil {
			t.Fatal(err)
		}
		return r.Counters[0]
	}
	sweep := func(after time.Duration) {
		if err := s.SweepLater(t.Context(), after); err != nil {
			t.Fatal(err)
		}
	}
	if n := number(); n != 1 {
		t.Fatalf("number %d", n)
	}
	sweep(9 * time.Minute)
	sweep(9 * time.Minute) // by another node's clock, perhaps
	sweep(11 * time.Minute)
	if n := number(); n != 1 {
		t.Errorf("number %d: forgotten too early", n)
	}
	sweep(11 * time.Minute)
	if n := number(); n != 2 {
		t.Errorf("number %d: not forgotten", n)
	}
}

// TestWriterTakenForDead: a writer that did nothing for long is ended by the keeper of any node; if it lives, it goes on
// on a new connection, and nobody notices.
func TestWriterTakenForDead(t *testing.T) {
	t.Parallel()
	n := sharedNode(t, postgres.Options{Writers: 1})
	living := func() string {
		return n.server.Query(t, "SELECT id FROM waybill_writer WHERE ended IS NULL", n.schema)[0]
	}
	before := living()
	if err := put(n, "a"); err != nil {
		t.Fatal(err)
	}
	if err := n.SweepLater(t.Context(), time.Minute); err != nil {
		t.Fatal(err)
	}
	if living() != before {
		t.Error("ended too early")
	}
	if err := n.SweepLater(t.Context(), 2*time.Hour); err != nil {
		t.Fatal(err)
	}
	if err := put(n, "b"); err != nil {
		t.Fatal(err)
	}
	if living() == before {
		t.Error("the writer was not ended")
	}
	// What it left goes when nobody can ask for it any more.
	n.server.Exec(t, "UPDATE waybill_writer SET ended = ended - interval '1 hour' WHERE ended IS NOT NULL", n.schema)
	if err := n.SweepLater(t.Context(), time.Minute); err != nil {
		t.Fatal(err)
	}
	if left := n.server.Query(t, "SELECT count(*) FROM waybill_change WHERE writer = "+before, n.schema)[0]; left != "0" {
		t.Errorf("%s changes of it are left", left)
	}
	if !has(t, n, "a") || !has(t, n, "b") || n.log.String() != "" {
		t.Errorf("a %t, b %t, log %q", has(t, n, "a"), has(t, n, "b"), n.log)
	}
}
