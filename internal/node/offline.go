package node

import (
	"context"
	"errors"
	"log/slog"

	"waybill/internal/config"
	"waybill/internal/control"
	"waybill/internal/mail"
	"waybill/internal/trail"
)

// Offline is a node that is not running, for the commands that may work on its store then.
type Offline struct{ *core }

// OpenOffline opens the store. ErrInUse says that the server runs: then its control socket is the way. Other nodes of a database
// may run meanwhile.
func OpenOffline(c config.Config, logger *slog.Logger) (*Offline, error) {
	engine, err := openStore(c, logger)
	if err != nil {
		return nil, err
	}
	if _, err := openObjects(c.Bodies, logger); err != nil { // the keys may be in the server's environment only
		logger.Warn("without the object store: what lies there cannot be read, and what is imported stays in the store", "error", err)
		c.Bodies = config.Bodies{}
	}
	k, err := newCore(Options{Config: c, Network: System{}, Logger: logger, guest: true}, engine, func(trail.Event) {})
	if err != nil {
		return nil, errors.Join(err, engine.Close())
	}
	return &Offline{k}, nil
}

// Close closes the store.
func (o *Offline) Close() error {
	ctx := context.Background()
	return errors.Join(o.trail.Close(ctx), o.lease.Leave(ctx), o.engine.Close())
}

var _ control.Node = (*Offline)(nil)

// Events returns the waybill of a message.
func (k *core) Events(ctx context.Context, id mail.ID) ([]trail.Event, error) {
	return k.trail.Events(ctx, id)
}

// Visits returns what the trail tells of a peer or of a session.
func (k *core) Visits(ctx context.Context, q trail.Query) (trail.Visits, error) {
	return k.trail.Visits(ctx, q)
}
