package node

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"waybill/internal/mail"
	"waybill/internal/spool"
	"waybill/internal/store"
	"waybill/internal/store/bodies"
	"waybill/internal/store/lease"
	"waybill/internal/store/pebble/pebbletest"
)

// told counts the octets that another server has got.
type told struct{ octets int }

func (w *told) Write(p []byte) (int, error) {
	w.octets += len(p)
	return len(p), nil
}

// TestContentOfAnother: once another node may have the message nothing more of it is sent, and never its last octet without an
// error before what ends the message.
func TestContentOfAnother(t *testing.T) {
	t.Parallel()
	st := pebbletest.Open(t)
	k := &core{spool: spool.New(st, bodies.New(st), lease.Alone(1))}
	for _, size := range []int{1000, 400_000} {
		item := &spool.Item{ID: mail.NewIDs(1).New(time.Now()), Recipients: []spool.Recipient{{State: spool.Pending}}}
		draft := k.spool.NewDraft()
		draft.Write(bytes.Repeat([]byte("x"), size))
		var b store.Batch
		if err := k.spool.Enter(&b, draft, nil, item); err != nil {
			t.Fatal(err)
		}
		if _, err := st.Commit(t.Context(), &b); err != nil {
			t.Fatal(err)
		}
		draft.Committed()
		draft.Discard()
		octets, looks, err := send(t, k, item, 1<<30)
		if octets != size || looks < 2 || err != nil {
			t.Errorf("%d octets of %d, after %d looks at the lease: %v", octets, size, looks, err)
		}
		for lasts := range looks { // it is over at each of the moments at which it is asked for
			octets, _, err := send(t, k, item, lasts)
			if whole := lasts == looks-1; !errors.Is(err, errLeaseOver) || (octets == size) != whole || lasts == 0 && octets > 0 {
				t.Errorf("a lease for %d looks: %d octets of %d are sent, %v", lasts, octets, size, err)
			}
		}
	}
}

// send sends a message whose lease lasts for so many looks at it, and returns what got out, and how many looks there were.
func send(t *testing.T, k *core, item *spool.Item, lasts int) (octets, asked int, err error) {
	t.Helper()
	valid := func() bool { asked++; return asked <= lasts }
	content, err := k.content(t.Context(), spool.Attempt{Item: item, Valid: valid})
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close()
	var w told
	_, err = content.WriteTo(&w)
	return w.octets, asked, err
}
