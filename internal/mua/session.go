package mua

import (
	"context"
	"errors"
	"fmt"

	"waybill/internal/pop3"
)

const (
	maxMessage = 1 << 30 // octets of one message
	maxTold    = 10      // messages that failed, with their reasons; the others are counted
)

// retrieval is one POP3 session after its login.
type retrieval struct {
	Retrieval
	client *pop3.Client
	haul   Haul
	marked int // by DELE
	failed []error
}

// run fetches all, and ends the session.
func (r *retrieval) run(ctx context.Context) error {
	messages, err := r.client.List(ctx)
	if err != nil {
		return err
	}
	uidls, err := r.uidls(ctx)
	if err != nil {
		return err
	}
	err = r.all(ctx, messages, uidls)
	if r.Memory != nil {
		if syncErr := r.Memory.Sync(); syncErr != nil { // then what was kept could be doubled, but is not lost
			err = errors.Join(err, syncErr)
		}
	}
	quitErr := r.quit(ctx)
	if errors.Is(err, errors.Unwrap(quitErr)) { // the connection was lost before, and is told of
		quitErr = nil
	}
	if err == nil && quitErr == nil && r.Memory != nil {
		err = r.forget(uidls)
	}
	return errors.Join(append(r.failed, err, r.untold(), quitErr)...)
}

// uidls are the unique ids by number, if anybody wants to know them.
func (r *retrieval) uidls(ctx context.Context) (map[int]string, error) {
	if r.Memory == nil {
		return nil, nil
	}
	uidls, err := r.client.Uidl(ctx)
	if _, refused := errors.AsType[*pop3.RefusedError](err); refused {
		if r.Remove { // nothing stays
			return nil, nil
		}
		return nil, errors.Join(ErrNoUIDL, r.client.Quit(ctx))
	}
	return uidls, err
}

// all goes through the messages. An error ends it; what became of single messages it notes.
func (r *retrieval) all(ctx context.Context, messages []pop3.Listed, uidls map[int]string) error {
	known := r.known(messages, uidls)
	for _, m := range messages {
		uidl := uidls[m.Number]
		if !known[uidl] {
			kept, err := r.one(ctx, m, uidl)
			if err != nil {
				return err
			}
			if !kept {
				continue
			}
			r.haul.Kept++
		} else {
			r.haul.Known++
		}
		if r.Remove {
			if err := r.mark(ctx, m.Number); err != nil {
				return err
			}
		}
	}
	return nil
}

// known are the unique ids of which all messages that the server has now were kept before.
func (r *retrieval) known(messages []pop3.Listed, uidls map[int]string) map[string]bool {
	copies := map[string]int{}
	for _, m := range messages {
		if uidl := uidls[m.Number]; uidl != "" {
			copies[uidl]++
		}
	}
	known := map[string]bool{}
	for uidl, n := range copies {
		if r.Memory.Times(uidl) >= n {
			known[uidl] = true
		}
	}
	return known
}

// one copies a message and remembers it. kept is false if it has to stay on the server, and the others can go on.
func (r *retrieval) one(ctx context.Context, m pop3.Listed, uidl string) (kept bool, err error) {
	if m.Size > maxMessage {
		r.note(fmt.Errorf("message %d stays on the server: it has %d octets, and %d are the most", m.Number, m.Size, maxMessage))
		return false, nil
	}
	k, err := r.Sink.Begin(uidl, m.Size)
	if err != nil {
		return false, err
	}
	if err := r.client.Retr(ctx, m.Number, k); err != nil {
		err = fmt.Errorf("message %d: %w", m.Number, errors.Join(err, k.Discard()))
		if _, refused := errors.AsType[*pop3.RefusedError](err); refused {
			r.note(err)
			return false, nil
		}
		return false, err
	}
	if err := k.Keep(); err != nil {
		return false, fmt.Errorf("keep message %d: %w", m.Number, err)
	}
	if uidl == "" || r.Memory == nil {
		return true, nil
	}
	return true, r.Memory.Add(uidl)
}

// note remembers that a message failed, and why.
func (r *retrieval) note(err error) {
	r.haul.Failed++
	if len(r.failed) < maxTold {
		r.failed = append(r.failed, err)
	}
}

func (r *retrieval) untold() error {
	if n := r.haul.Failed - len(r.failed); n > 0 {
		return fmt.Errorf("and %d messages more", n)
	}
	return nil
}

// mark has a message deleted at QUIT. If the server will not, it stays, and is known next time.
func (r *retrieval) mark(ctx context.Context, number int) error {
	err := r.client.Dele(ctx, number)
	if err == nil {
		r.marked++
		return nil
	}
	if _, refused := errors.AsType[*pop3.RefusedError](err); refused {
		r.note(fmt.Errorf("message %d was fetched and stays on the server: %w", number, err))
		return nil
	}
	return err
}

// quit ends the session. Only its +OK says that the messages are deleted (RFC 1939 §6).
func (r *retrieval) quit(ctx context.Context) error {
	err := r.client.Quit(ctx)
	if err == nil {
		r.haul.Deleted = r.marked
		return nil
	}
	r.haul.Doubt = r.marked
	return fmt.Errorf("the end of the session: %w", err)
}

// forget drops from the memory what is not on the server any more.
func (r *retrieval) forget(uidls map[int]string) error {
	there := map[string]bool{}
	for _, uidl := range uidls {
		there[uidl] = true
	}
	if r.Remove && r.haul.Failed == 0 {
		clear(there)
	}
	return r.Memory.Only(there)
}
