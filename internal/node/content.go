package node

import (
	"context"
	"errors"
	"io"

	"waybill/internal/relay"
	"waybill/internal/spool"
	"waybill/internal/store/bodies"
	"waybill/internal/store/lease"
)

func (k *core) content(ctx context.Context, item *spool.Item) (relay.Content, error) {
	r, err := k.spool.Open(ctx, item)
	if err != nil {
		return nil, err
	}
	return leased{r, k.lease}, nil
}

// leased is content that ends in an error, and so is never sent whole, once another node may have taken the message over.
type leased struct {
	*bodies.Reader
	lease *lease.Lease
}

// errLeaseOver: the message may be another node's.
var errLeaseOver = errors.New("this node did not reach the store for so long that another one may have taken the message over")

// WriteTo implements io.WriterTo.
func (c leased) WriteTo(w io.Writer) (int64, error) {
	n, err := c.Reader.WriteTo(leasedWriter{w, c.lease})
	if err == nil && !c.lease.Alive() { // what ends the content is still to be sent
		err = errLeaseOver
	}
	return n, err
}

type leasedWriter struct {
	io.Writer
	lease *lease.Lease
}

// Write implements io.Writer. It may be the last one, after which the other side has it all.
func (w leasedWriter) Write(p []byte) (int, error) {
	if !w.lease.Alive() {
		return 0, errLeaseOver
	}
	return w.Writer.Write(p)
}
