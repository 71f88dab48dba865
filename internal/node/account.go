package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"waybill/internal/config"
	"waybill/internal/directory"
	"waybill/internal/mail"
	"waybill/internal/mailbox"
	"waybill/internal/store"
	"waybill/internal/store/bodies"
	"waybill/internal/trail"
)

// AddAccount creates an account and its INBOX in one batch.
func AddAccount(ctx context.Context, st store.Store, d *directory.Directory, m *mailbox.Mailboxes, addr mail.Address, password string) error {
	var b store.Batch
	if err := d.Add(ctx, &b, addr, password); err != nil {
		return err
	}
	m.Create(&b, addr.Key(), mailbox.Inbox, time.Now())
	_, err := st.Commit(ctx, &b)
	if errors.Is(err, store.ErrConflict) {
		return fmt.Errorf("account %s exists already", addr)
	}
	return err
}

// SetPassword gives an account another password. One that was right before is wrong as soon as it returns.
func SetPassword(ctx context.Context, st store.Store, d *directory.Directory, addr mail.Address, password string) error {
	var b store.Batch
	if err := d.SetPassword(ctx, &b, addr, password); err != nil {
		return err
	}
	_, err := st.Commit(ctx, &b)
	if errors.Is(err, store.ErrConflict) {
		return fmt.Errorf("account %s was changed at the same moment; try again", addr)
	}
	return err
}

// Offline is the store of a node that is not running, for the commands that may use it then.
type Offline struct {
	engine    Engine
	directory *directory.Directory
	mailboxes *mailbox.Mailboxes
	trail     *trail.Trail
}

// OpenOffline opens the store. pebble.ErrLocked says that the server runs: then its control socket is the way.
func OpenOffline(c config.Config, logger *slog.Logger) (*Offline, error) {
	engine, err := OpenStore(c, logger)
	if err != nil {
		return nil, err
	}
	return &Offline{
		engine:    engine,
		directory: directory.New(engine, c.Domains, directory.Options{Hostname: c.Hostname}),
		mailboxes: mailbox.New(engine, bodies.New(engine)),
		trail:     trail.New(engine, trail.Options{Logger: logger}),
	}, nil
}

// AddAccount creates an account with its mailbox.
func (o *Offline) AddAccount(ctx context.Context, addr mail.Address, password string) error {
	return AddAccount(ctx, o.engine, o.directory, o.mailboxes, addr, password)
}

// SetPassword gives an account another password.
func (o *Offline) SetPassword(ctx context.Context, addr mail.Address, password string) error {
	return SetPassword(ctx, o.engine, o.directory, addr, password)
}

// Events returns the waybill of a message.
func (o *Offline) Events(ctx context.Context, id mail.ID) ([]trail.Event, error) {
	return o.trail.Events(ctx, id)
}

// Visits returns what the trail tells of a peer or of a session.
func (o *Offline) Visits(ctx context.Context, q trail.Query) (trail.Visits, error) {
	return o.trail.Visits(ctx, q)
}

// Close closes the store.
func (o *Offline) Close() error {
	return errors.Join(o.trail.Close(context.Background()), o.engine.Close())
}
