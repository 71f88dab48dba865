package maildrop

import (
	"context"
	"errors"

	"waybill/internal/mailbox"
	"waybill/internal/store"
)

// size returns the octets that RETR sends: with the line end that a message without one at its end gets.
//
// What came by SMTP has one, because DATA ends after it, and begins with the Received field that we added, the
// body's prefix. So only messages made otherwise are looked at.
func (d *drop) size(ctx context.Context, e mailbox.Entry) (int64, error) {
	if e.Body.PrefixSize > 0 || e.Size == 0 {
		return e.Size, nil
	}
	content, err := d.service.Mailboxes.Open(ctx, e)
	if errors.Is(err, store.ErrNotFound) { // removed just now; RETR will say so
		return e.Size, nil
	}
	if err != nil {
		return 0, err
	}
	defer content.Close()
	var end tail
	if _, err := content.WriteTo(&end); err != nil {
		return 0, err
	}
	if end == (tail{'\r', '\n'}) {
		return e.Size, nil
	}
	return e.Size + 2, nil
}

// tail remembers the last two octets written to it.
type tail [2]byte

func (t *tail) Write(p []byte) (int, error) {
	switch n := len(p); n {
	case 0:
	case 1:
		t[0], t[1] = t[1], p[0]
	default:
		t[0], t[1] = p[n-2], p[n-1]
	}
	return len(p), nil
}
