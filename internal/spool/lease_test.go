package spool

import (
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"waybill/internal/mail"
	"waybill/internal/store"
	"waybill/internal/store/bodies"
	"waybill/internal/store/lease"
)

// TestEnterWithoutLease: a node that others took for dead takes no mail into its old slice, which nobody would look at.
func TestEnterWithoutLease(t *testing.T) {
	t.Parallel()
	st := open(t, vfs.NewMem())
	l, err := lease.Join(t.Context(), lease.Options{Store: st})
	if err != nil {
		t.Fatal(err)
	}
	s := New(st, bodies.New(st), l)
	item := newItem(began, "a")
	item.ID = mail.IDsOf(l.Number).New(began)
	enter(t, s, item, []byte("x"))
	if err := l.Leave(t.Context()); err != nil { // so is its slice free for others
		t.Fatal(err)
	}
	item = newItem(began, "b")
	item.ID = mail.IDsOf(l.Number).New(began)
	d := s.NewDraft()
	defer d.Discard()
	var b store.Batch
	if err := s.Enter(&b, d, nil, item); err != nil {
		t.Fatal(err)
	}
	if _, err := st.Commit(t.Context(), &b); !errors.Is(err, store.ErrConflict) {
		t.Errorf("mail came into a slice that is another's: %v", err)
	}
}
