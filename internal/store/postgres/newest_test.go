package postgres_test

import (
	"strings"
	"testing"
	"time"

	"waybill/internal/store"
	"waybill/internal/store/postgres"
)

// TestNewest: it grows when anybody commits, and not else; and it is told when those have ended who have drawn an older one.
func TestNewest(t *testing.T) {
	t.Parallel()
	url := empty(t)
	o := postgres.Options{URL: url}.WithLockWait(time.Minute)
	s, other := openStore(t, o), openStore(t, o)
	newest := func() store.Version {
		n, err := s.Newest(t.Context())
		if err != nil {
			t.Error(err)
		}
		return n
	}
	if n := newest(); n != 0 {
		t.Errorf("%d, of an empty store", n)
	}
	if err := put(other, "k"); err != nil {
		t.Fatal(err)
	}
	first := newest()
	if again := newest(); first == 0 || again != first {
		t.Errorf("%d, then %d", first, again)
	}
	schema, _, _ := strings.Cut(url[strings.Index(url, "search_path="):], "&")
	release := sharedServer(t).Hold(t, "BEGIN; SELECT id FROM waybill_writer FOR UPDATE; SELECT nextval('waybill_version')", schema)
	told := make(chan store.Version, 1)
	go func() { told <- newest() }()
	waitFor(t, "it to wait for the transaction", func() bool {
		select {
		case n := <-told:
			t.Fatalf("%d is told while a transaction is under way", n)
		default:
		}
		waiting := "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'SELECT id FROM waybill_writer % FOR SHARE'"
		return len(sharedServer(t).Query(t, waiting)) > 0
	})
	release()
	if n := <-told; n <= first {
		t.Errorf("%d, before that %d", n, first)
	}
}
