package node

import (
	"context"
	"errors"
	"io"

	"waybill/internal/relay"
	"waybill/internal/spool"
	"waybill/internal/store/bodies"
)

// content opens a message for an attempt.
func (k *core) content(ctx context.Context, a spool.Attempt) (relay.Content, error) {
	r, err := k.spool.Open(ctx, a.Item)
	if err != nil || a.Valid == nil {
		return r, err
	}
	return leased{r, a.Valid}, nil
}

// leased is content that ends in an error, and so is never sent whole, once another node may have taken the message over.
type leased struct {
	*bodies.Reader
	valid func() bool
}

// errLeaseOver: the message may be another node's.
var errLeaseOver = errors.New("this node did not reach the store for so long that another one may have taken the message over")

// WriteTo implements io.WriterTo.
func (c leased) WriteTo(w io.Writer) (int64, error) {
	n, err := c.Reader.WriteTo(leasedWriter{w, c.valid})
	if err == nil && !c.valid() { // what ends the content is still to be sent
		err = errLeaseOver
	}
	return n, err
}

type leasedWriter struct {
	io.Writer
	valid func() bool
}

// Write implements io.Writer. It may be the last one, after which the other side has it all.
func (w leasedWriter) Write(p []byte) (int, error) {
	if !w.valid() {
		return 0, errLeaseOver
	}
	return w.Writer.Write(p)
}
