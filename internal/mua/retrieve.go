package mua

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"waybill/internal/pop3"
	"waybill/internal/trail"
)

// Sink takes retrieved messages.
type Sink interface {
	// Begin returns where the content of the message with that UIDL and size in octets goes.
	Begin(uidl string, size int64) (Keeper, error)
}

// Keeper takes one message. Keep makes the copy durable: only after it the message may be deleted from the server.
// Discard drops it.
type Keeper interface {
	io.Writer
	Keep() error
	Discard() error
}

// Retrieve logs in to the POP3 server of the settings and copies every message to the sink; with remove, each is
// deleted from the server once all of it is kept. It returns the number of messages kept.
func (c *Client) Retrieve(ctx context.Context, s Settings, sink Sink, remove bool) (n int, err error) {
	conn, addr, err := c.connect(ctx, s.POP3)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	client := pop3.NewClient(conn, pop3.ClientOptions{})
	client.Transcript().Follow(c.Live)
	defer client.Close()
	n, err = c.retrieve(ctx, client, conn, s, sink, remove)
	event := trail.Event{
		Kind: trail.Retrieved, At: began, Took: time.Since(began), Dialogue: client.Transcript().Lines(),
		Peer:  &trail.Peer{Addr: addr, Name: s.POP3.Host},
		Facts: []trail.Fact{{Name: "messages", Value: fmt.Sprint(n)}},
	}
	if err != nil {
		event.Text = "the retrieval failed: " + err.Error()
	}
	c.observe(event)
	return n, err
}

func (c *Client) retrieve(ctx context.Context, client *pop3.Client, conn net.Conn, s Settings, sink Sink, remove bool) (int, error) {
	if err := c.login(ctx, client, conn, s); err != nil {
		return 0, err
	}
	sizes, err := client.List(ctx)
	if err != nil {
		return 0, err
	}
	uidls, err := client.Uidl(ctx)
	if err != nil {
		return 0, err
	}
	kept := 0
	for _, m := range sizes {
		if err := keep(ctx, client, sink, m.Number, uidls[m.Number], m.Size); err != nil {
			return kept, errors.Join(err, client.Quit(ctx)) // what was kept so far may go
		}
		kept++
		if remove {
			if err := client.Dele(ctx, m.Number); err != nil {
				return kept, err
			}
		}
	}
	return kept, client.Quit(ctx)
}

// keep copies one message.
func keep(ctx context.Context, client *pop3.Client, sink Sink, number int, uidl string, size int64) error {
	k, err := sink.Begin(uidl, size)
	if err != nil {
		return err
	}
	if err := client.Retr(ctx, number, k); err != nil {
		return errors.Join(err, k.Discard())
	}
	return k.Keep()
}

func (c *Client) login(ctx context.Context, client *pop3.Client, conn net.Conn, s Settings) error {
	if err := client.Greet(ctx); err != nil {
		return err
	}
	secured := s.POP3.Security == Implicit
	if s.POP3.Security == StartTLS || s.POP3.Security == Auto {
		capabilities, err := client.Capa(ctx)
		_, offered := capabilities["STLS"]
		if secured = s.POP3.Security == StartTLS || err == nil && offered; secured {
			if err := client.StartTLS(ctx, c.tlsConfig(s.POP3.Host)); err != nil {
				return err
			}
		}
	}
	if !secured {
		if err := passwordAllowed(s.POP3, conn); err != nil {
			return err
		}
	}
	return client.Login(ctx, s.User, s.Password)
}
