package maildrop

import (
	"context"
	"fmt"
	"io"
	"sync"

	"waybill/internal/mailbox"
	"waybill/internal/pop3"
	"waybill/internal/store/bodies"
)

// torn remembers the contents that broke off in the middle. Then there is nothing left but to end the session, and a client
// that comes again and begins at the same message would never get what stands behind it. So such a content is read as a
// whole before it is sent again, and refused if it cannot be.
type torn struct {
	mu    sync.Mutex
	known map[bodies.ID]struct{}
}

// maxTorn bounds what is remembered.
const maxTorn = 10_000

func (t *torn) add(id bodies.ID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.known == nil || len(t.known) >= maxTorn {
		t.known = map[bodies.ID]struct{}{}
	}
	t.known[id] = struct{}{}
}

func (t *torn) has(id bodies.ID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, is := t.known[id]
	return is
}

// open returns the content of a message.
func (s *Service) open(ctx context.Context, account string, e mailbox.Entry) (pop3.Content, error) {
	if s.torn.has(e.Body.ID) {
		trial, err := s.Mailboxes.Open(ctx, e)
		if err != nil {
			return nil, err
		}
		defer trial.Close()
		if _, err := trial.WriteTo(io.Discard); err != nil {
			return nil, fmt.Errorf("message %d of %s broke off before, and still does: %w", e.UID, account, err)
		}
	}
	r, err := s.Mailboxes.Open(ctx, e)
	if err != nil {
		return nil, err
	}
	return &content{Reader: r, torn: func() { s.torn.add(e.Body.ID) }}, nil
}

// content is a message that is sent.
type content struct {
	*mailbox.Reader
	torn func() // called if it breaks off
}

// WriteTo implements io.WriterTo.
func (c *content) WriteTo(w io.Writer) (int64, error) {
	out := &outlet{w: w}
	n, err := c.Reader.WriteTo(out)
	if err != nil && out.err == nil {
		c.torn()
	}
	return n, err
}

// outlet remembers whether it was the writer that failed.
type outlet struct {
	w   io.Writer
	err error
}

func (o *outlet) Write(p []byte) (n int, err error) {
	n, err = o.w.Write(p)
	o.err = err
	return n, err
}
