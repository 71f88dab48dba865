package maildrop

import (
	"context"
	"errors"

	"waybill/internal/mailbox"
	"waybill/internal/store"
)

// size returns the octets that RETR sends: with the line end that a message without one at its end gets. Of a message that
// cannot be read it is what its record says: RETR tells, and the others are served.
//
// What came by SMTP has a line end, because DATA ends after it, and begins with the Received field that we added, the
// body's prefix. So only messages made otherwise are looked at.
func (d *drop) size(ctx context.Context, e mailbox.Entry) (int64, error) {
	if e.Body.PrefixSize > 0 || e.Size == 0 {
		return e.Size, nil
	}
	last, err := d.ending(ctx, e)
	switch {
	case ctx.Err() != nil, errors.Is(err, store.ErrClosed), errors.Is(err, store.ErrUnavailable):
		return 0, err
	case err != nil && !errors.Is(err, store.ErrNotFound): // else it was removed just now
		d.service.Logger.Error("message cannot be read; waybill verify tells more", "account", d.account, "uid", e.UID, "error", err)
		return e.Size, nil
	case err != nil, string(last) == "\r\n":
		return e.Size, nil
	}
	return e.Size + 2, nil
}

// ending returns the last two octets of a message.
func (d *drop) ending(ctx context.Context, e mailbox.Entry) ([]byte, error) {
	content, err := d.service.Mailboxes.Open(ctx, e)
	if err != nil {
		return nil, err
	}
	defer content.Close()
	return content.Last(len("\r\n"))
}
