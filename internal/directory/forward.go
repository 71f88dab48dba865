package directory

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"waybill/internal/mail"
	"waybill/internal/srs"
	"waybill/internal/store"
	"waybill/internal/store/keys"
	"waybill/internal/store/record"
)

// Rewrite returns the reverse-path under which an alias in domain forwards mail of from, and adds to the batch what it takes
// to find the way back. Who is of ours may send from here, and keeps its own. Errors: those of the store.
func (d *Directory) Rewrite(ctx context.Context, b *store.Batch, from mail.Address, domain string, now time.Time) (mail.Address, error) {
	if from.IsNull() || d.IsLocal(from.Domain) {
		return from, nil
	}
	octets, err := d.forwarders.Get(ctx)
	if err != nil {
		return from, fmt.Errorf("rewrite %s: %w", from, err)
	}
	r := srs.Rewrite(octets, from, domain, now)
	if r.Token != "" {
		b.Put(keys.Forward(r.Token), appendAddress(record.AppendTime([]byte{forwardFormat}, now), from))
	}
	return r.Path, nil
}

// Unwrap returns who gets a bounce for a reverse-path that Rewrite made. Errors: srs.ErrForged, srs.ErrExpired, those of
// the store.
func (d *Directory) Unwrap(ctx context.Context, path mail.Address, now time.Time) (mail.Address, error) {
	octets, err := d.forwarders.Get(ctx)
	if err != nil {
		return mail.Address{}, fmt.Errorf("unwrap %s: %w", path, err)
	}
	to, token, err := srs.Parse(octets, path, now)
	if err != nil || token == "" {
		return to, err
	}
	snap, err := d.st.Snapshot()
	if err != nil {
		return to, fmt.Errorf("unwrap %s: %w", path, err)
	}
	defer snap.Close()
	value, _, err := snap.Get(keys.Forward(token))
	if errors.Is(err, store.ErrNotFound) {
		return to, srs.ErrExpired
	}
	if err != nil {
		return to, fmt.Errorf("unwrap %s: %w", path, err)
	}
	_, to, err = decodeForward(value)
	return to, err
}

// forgetAtOnce bounds a batch of ForgetForwards.
const forgetAtOnce = 1000

// ForgetForwards deletes what no bounce can ask for any more. Errors: those of the store.
func (d *Directory) ForgetForwards(ctx context.Context, now time.Time) error {
	for {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("forget reverse-paths: %w", err)
		}
		var b store.Batch
		if err := d.oldForwards(&b, now.Add(-srs.Life-24*time.Hour)); err != nil || len(b.Deletes) == 0 {
			return err
		}
		if _, err := d.st.Commit(ctx, &b); err != nil && !errors.Is(err, store.ErrConflict) { // used anew, or another node is at it
			return fmt.Errorf("forget reverse-paths: %w", err)
		}
	}
}

func (d *Directory) oldForwards(b *store.Batch, before time.Time) error {
	snap, err := d.st.Snapshot()
	if err != nil {
		return fmt.Errorf("forget reverse-paths: %w", err)
	}
	defer snap.Close()
	for e, err := range snap.Scan(store.Prefix(keys.Forward(""))) {
		if err != nil {
			return fmt.Errorf("forget reverse-paths: %w", err)
		}
		if at, _, err := decodeForward(e.Value); err != nil || at.Before(before) {
			key := bytes.Clone(e.Key)
			b.Check(key, e.Version) // it may be used anew at this moment
			b.Delete(key)
		}
		if len(b.Deletes) == forgetAtOnce {
			break
		}
	}
	return nil
}

// forwardFormat is the first octet of a kept reverse-path's record: when it was last used · local-part · domain.
const forwardFormat = 1

func decodeForward(value []byte) (at time.Time, to mail.Address, err error) {
	r := record.NewReader(value, forwardFormat)
	at = r.Time()
	to = mail.Address{Local: r.Text(), Domain: r.Text()}
	return at, to, r.End()
}
