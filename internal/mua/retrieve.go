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
	// Begin returns where the content of the message with that UIDL and size in octets goes; both are the server's words.
	Begin(uidl string, size int64) (Keeper, error)
}

// Keeper takes one message. Keep makes the copy durable, where that can be and messages are to be deleted: only after it the
// message may be deleted from the server.
// Discard drops it.
type Keeper interface {
	io.Writer
	Keep() error
	Discard() error
}

// Memory remembers by their UIDLs (RFC 1939 §7) which messages have been kept before, so that none is fetched twice: neither
// one that stays on the server, nor one that could not be deleted.
type Memory interface {
	// Times says how often a message of that UIDL was kept: identical messages may share one. If messages are to be deleted, only
	// copies count that are durable, and are still there: the others are fetched again first.
	Times(uidl string) int
	// Add remembers a message that was kept.
	Add(uidl string) error
	// Sync makes durable what was added. It comes before QUIT: after it nobody may know what was deleted.
	Sync() error
	// Only forgets the messages that are no longer on the server.
	Only(there map[string]bool) error
}

// Retrieval says what Retrieve is to do.
type Retrieval struct {
	Sink   Sink
	Remove bool   // delete each message from the server once its copy is durable
	Memory Memory // nil: every message is fetched
}

// Haul is what came of a retrieval.
type Haul struct {
	Kept    int // copied, and durable
	Known   int // kept by an earlier retrieval, and not fetched again
	Failed  int // left on the server, because they are too large or the server would not give them
	Deleted int // of those kept and known, as the server has confirmed
	Doubt   int // were to be deleted, but nobody knows whether they are
}

// ErrNoUIDL: the server does not name its messages, so those that stay cannot be known again.
var ErrNoUIDL = errors.New("the server has no unique ids (UIDL), by which messages that stay there could be known again")

// Retrieve logs in to the first POP3 server of the settings that lets us in, and copies every message that the memory does not
// know to the sink. The Haul is right whatever the error is; a message that could not be had keeps no other from being fetched.
func (c *Client) Retrieve(ctx context.Context, s Settings, r Retrieval) (Haul, error) {
	var errs []error
	for t, err := range c.targets(ctx, s.POP3) {
		if err == nil {
			var haul Haul
			var loggedIn bool
			haul, loggedIn, err = c.retrieveFrom(ctx, t, s, r)
			if loggedIn || ctx.Err() != nil {
				return haul, err
			}
			var login *loginError
			if errors.As(err, &login) {
				return haul, err
			}
			err = fmt.Errorf("%s: %w", t.server, err)
		}
		errs = append(errs, err)
	}
	return Haul{}, errors.Join(errs...)
}

// retrieveFrom connects to one address of a server and does the whole of it.
func (c *Client) retrieveFrom(ctx context.Context, t target, s Settings, r Retrieval) (haul Haul, loggedIn bool, err error) {
	conn, err := c.connect(ctx, t)
	if err != nil {
		return haul, false, err
	}
	began := time.Now()
	client := pop3.NewClient(conn, pop3.ClientOptions{MaxMessage: maxMessage})
	client.Transcript().Follow(c.Live)
	defer client.Close()
	session := &retrieval{Retrieval: r, client: client}
	if err = c.login(ctx, client, conn, t.server, s); err == nil {
		loggedIn = true
		err = session.run(ctx)
	}
	event := trail.Event{
		Kind: trail.Retrieved, At: began, Took: time.Since(began), Dialogue: client.Transcript().Lines(),
		Peer:  &trail.Peer{Addr: t.addr.String(), Name: t.server.Host},
		Facts: []trail.Fact{{Name: "messages", Value: fmt.Sprint(session.haul.Kept)}},
	}
	if err != nil {
		event.Text = "the retrieval failed: " + err.Error()
	}
	c.observe(event)
	return session.haul, loggedIn, err
}

func (c *Client) login(ctx context.Context, client *pop3.Client, conn net.Conn, server Server, s Settings) error {
	if err := client.Greet(ctx); err != nil {
		return err
	}
	secured := server.Security == Implicit
	if server.Security == StartTLS || server.Security == Auto {
		capabilities, err := client.Capa(ctx)
		_, offered := capabilities["STLS"]
		if secured = server.Security == StartTLS || err == nil && offered; secured {
			if err := client.StartTLS(ctx, c.tlsConfig(server.Host)); err != nil {
				return err
			}
		}
	}
	if !secured {
		if err := passwordAllowed(server, conn); err != nil {
			return err
		}
	}
	err := client.Login(ctx, s.User, s.Password)
	if refused, ok := errors.AsType[*pop3.RefusedError](err); ok && refused.Code != "SYS/TEMP" {
		return &loginError{err}
	}
	return err
}
