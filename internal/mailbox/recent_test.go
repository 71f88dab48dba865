package mailbox

import (
	"errors"
	"testing"

	"waybill/internal/store"
)

// TestForgetsARemovedMailbox: who looked for a mailbox in vain and makes it files into the new one at once, though the one of
// that name before was remembered.
func TestForgetsARemovedMailbox(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	m := f.message("content\r\n")
	if err := f.create("Work", now); err != nil {
		t.Fatal(err)
	}
	f.file(alice, "Work", m)
	if err := f.try(func(b *store.Batch) error { f.Abandon(b, alice); return nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Page(t.Context(), alice, "Work", 0, 1); !errors.Is(err, ErrNoMailbox) {
		t.Fatal(err)
	}
	m = f.message("more\r\n") // nobody holds the body of the other
	if err := f.create("Work", now); err != nil {
		t.Fatal(err)
	}
	err := f.try(func(b *store.Batch) error { return f.File(t.Context(), b, alice, "Work", m) })
	if err != nil || len(f.list(alice, "Work")) != 1 {
		t.Errorf("filed into the new mailbox: %v", err)
	}
}
