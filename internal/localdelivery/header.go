package localdelivery

import (
	"context"
	"errors"
	"io"

	"waybill/internal/message"
	"waybill/internal/spool"
)

// headerStart is how many octets of a message are looked at first: most headers end there.
const headerStart = 8 << 10

// hops returns what the header of a message says of its way: the receiver has seen it, unless the item was read from the
// spool.
func (g *Agent) hops(ctx context.Context, item *spool.Item) (message.Hops, error) {
	if item.Hops != nil {
		return *item.Hops, nil
	}
	header, err := g.header(ctx, item)
	return message.HopsOf(header), err
}

// header returns the header of a message as it came, without our prefix: the octets that the receiver looked at.
func (g *Agent) header(ctx context.Context, item *spool.Item) ([]byte, error) {
	content, err := g.Spool.Open(ctx, item)
	if err != nil {
		return nil, err
	}
	defer content.Close()
	if _, err := content.Seek(item.Body.PrefixSize, io.SeekStart); err != nil {
		return nil, err
	}
	return readHeader(content)
}

// readHeader reads until the header ends, or as far as a message.Head goes.
func readHeader(r io.Reader) ([]byte, error) {
	var head message.Head
	for buf := make([]byte, headerStart); !head.Ended(); {
		n, err := r.Read(buf)
		head.Write(buf[:n])
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	return head.Bytes(), nil
}
