package receiver

import (
	"context"
	"net/netip"
	"time"

	"waybill/internal/dns"
)

// reverseTimeout bounds the lookup of a peer's name. Its failure never refuses mail.
const reverseTimeout = 5 * time.Second

// reverseLookup is a lookup under way: result is valid once done is closed.
type reverseLookup struct {
	done   chan struct{}
	began  time.Time
	took   time.Duration
	name   string // "" when the name does not lead back to the address
	answer []dns.Answer
	err    error
}

func (r *Receiver) beginReverse(ctx context.Context, addr netip.Addr) *reverseLookup {
	l := &reverseLookup{done: make(chan struct{}), began: time.Now()}
	go func() {
		defer close(l.done)
		ctx, cancel := context.WithTimeout(ctx, reverseTimeout)
		defer cancel()
		l.name, l.answer, l.err = r.Names.Confirm(ctx, addr)
		l.took = time.Since(l.began)
	}()
	return l
}
