package verify

import (
	"context"
	"strings"
	"testing"
	"time"

	"waybill/internal/spool"
	"waybill/internal/store"
	"waybill/internal/store/bodies"
	"waybill/internal/store/keys"
	"waybill/internal/store/lease"
	"waybill/internal/store/objects/s3test"
)

// TestObjects: what is missing from the object store, or has another length there, is damage; and so is an object store that cannot be asked. What was deleted after
// the snapshot is none.
func TestObjects(t *testing.T) {
	t.Parallel()
	server := s3test.New(t, "bodies")
	o := server.Options("bodies")
	bucket := s3test.Open(t, o)
	f := newFixture(t)
	held := bodies.With(bodies.Options{Store: f.st, Objects: bucket})
	item := *f.item
	item.ID = item.ID[:len(item.ID)-1] + "7"
	draft := held.NewDraft()
	if _, err := draft.Write([]byte("Subject: x\r\n\r\n" + strings.Repeat("0123456789abcdef\r\n", 100_000))); err != nil {
		t.Fatal(err)
	}
	f.change(func(b *store.Batch) error { return spool.New(f.st, held, lease.Alone(1)).Enter(b, draft, nil, &item) })
	draft.Committed()
	draft.Discard()
	key := func(n string) string { return item.Body.ID.String() + "/0000000" + n }
	run := func(contents Contents, want string) {
		t.Helper()
		r, err := Run(t.Context(), f.st, contents, nil)
		if err != nil {
			t.Fatal(err)
		}
		if want == "" && len(r.Findings) > 0 || want != "" && (r.Damage != 1 || !strings.Contains(r.Findings[0].What+": "+r.Findings[0].Detail, want)) {
			t.Errorf("%+v, want %q", r.Findings, want)
		}
	}
	run(held, "")
	run(bodies.New(f.st), "the object store: it cannot be asked")
	if err := bucket.Put(t.Context(), key("1"), []byte("short")); err != nil {
		t.Fatal(err)
	}
	run(held, "part 1 of its content has 5 octets in the object store, and must have 1048576")
	if err := bucket.Delete(t.Context(), key("1")); err != nil {
		t.Fatal(err)
	}
	run(held, "message "+string(item.ID)+" in the queue: part 1 of its content is not in the object store")
	server.Kill()
	run(held, "the object store: it cannot be asked")
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	bucket = s3test.Open(t, o) // one that does not know of that
	held = bodies.With(bodies.Options{Store: f.st, Objects: bucket})
	run(meanwhile{held, func() {
		f.change(func(b *store.Batch) error {
			b.Delete(keys.Spool(item.ID))
			b.Delete(keys.Due(item.Due, item.ID))
			held.Drop(b, item.Body, item.Holder())
			return nil
		})
		if _, err := held.Sweep(t.Context(), time.Hour); err != nil {
			t.Error(err)
		}
		if left, _, err := bucket.List(t.Context(), item.Body.ID.String(), ""); len(left) > 0 || err != nil {
			t.Error("the sweep has left", left, err)
		}
	}}, "")
}

// meanwhile does something between the snapshot and the look at the objects.
type meanwhile struct {
	Contents
	do func()
}

func (m meanwhile) ObjectSizes(ctx context.Context, body bodies.Body) ([]int64, error) {
	m.do()
	return m.Contents.ObjectSizes(ctx, body)
}
