package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"

	"waybill/internal/config"
	"waybill/internal/store"
	"waybill/internal/store/layout"
	"waybill/internal/store/pebble"
	"waybill/internal/store/postgres"
	"waybill/internal/store/storecopy"
)

// ErrInUse says that another process works with a data directory: a server, whose control socket is the way then, or a command.
var ErrInUse = errors.New("another server or command works with it")

// ErrElsewhere is what an engine says to what only one can do whose files are on this machine's disk.
var ErrElsewhere = errors.New("the store is not on this machine's disk")

// engine is a store, with what a node would like to know of its disk besides. Where the store is elsewhere it gets ErrElsewhere.
type engine interface {
	store.Store
	local
	Shared() bool
	// Abandon ends every wait for a store that is elsewhere. Nothing but Close makes sense after it.
	Abandon()
}

// local is what the embedded engine can do besides.
type local interface {
	DiskFree() (uint64, error)
	Checkpoint(dir string) error
}

// opened is an engine that is in use. It has the data directory locked, unless it came from elsewhere.
type opened struct {
	store.Store
	lock   *dataLock
	shared bool // other nodes may use the store
}

// Shared says whether other nodes may use the store.
func (o *opened) Shared() bool { return o.shared }

var _ engine = (*opened)(nil)

// DiskFree returns how many octets the engine may still write.
func (o *opened) DiskFree() (uint64, error) {
	if disk, ok := o.Store.(local); ok {
		return disk.DiskFree()
	}
	return 0, ErrElsewhere
}

// Checkpoint writes a copy of the store as it is now into a new directory.
func (o *opened) Checkpoint(dir string) error {
	if disk, ok := o.Store.(local); ok {
		return disk.Checkpoint(dir)
	}
	return ErrElsewhere
}

// Abandon implements engine. A disk answers, or fails.
func (o *opened) Abandon() {
	if remote, ok := o.Store.(interface{ Abandon() }); ok {
		remote.Abandon()
	}
}

// Close closes the store, and lets others have the data directory.
func (o *opened) Close() error { return errors.Join(o.Store.Close(), o.lock.release()) }

// openStore opens the store of a configuration for this process, the only one with that data directory: ErrInUse says that there is
// another one. A database may have any number of nodes, each with a data directory of its own. A part of a store is refused.
func openStore(c config.Config, logger *slog.Logger) (*opened, error) {
	o, err := openAny(c, logger)
	if err != nil {
		return nil, err
	}
	err = checkWhole(o, c)
	if err == nil {
		err = adoptForm(o, o.shared, logger)
	}
	if err != nil {
		return nil, errors.Join(err, o.Close())
	}
	return o, nil
}

// checkWhole refuses a store that is only a part of another one as yet.
func checkWhole(s store.Store, c config.Config) error {
	source, err := storecopy.Unfinished(s)
	if err == nil && source != "" {
		err = fmt.Errorf("the store %s is an unfinished copy of %s: end it with waybill store copy, which goes on where it was stopped", StorePlace(c), source)
	}
	return err
}

// openAny opens a store, whole or not. A database without a data directory may be in use by others, too.
func openAny(c config.Config, logger *slog.Logger) (*opened, error) {
	var lock *dataLock
	if c.Data != "" {
		var err error
		if lock, err = lockData(c.Data); err != nil {
			return nil, err
		}
	}
	return openLocked(c, lock, logger)
}

// openLocked is openAny once nobody else has the data directory. Closing what it returns, and an error, release the lock, unless it is nil.
func openLocked(c config.Config, lock *dataLock, logger *slog.Logger) (*opened, error) {
	s, err := openEngine(c, logger)
	if errors.Is(err, pebble.ErrLocked) { // by a release that did not lock the data directory
		err = fmt.Errorf("%w: %w", ErrInUse, err)
	}
	if err != nil {
		return nil, errors.Join(err, lock.release())
	}
	if c.Data != "" {
		removeCheckpoints(c.Data, logger)
	}
	return &opened{s, lock, c.Store != ""}, nil
}

// adoptForm sees that the keys of a store are in today's form. An embedded one is brought to it; one that others may use is only if
// somebody wants it, with UpgradeStore: else layout.ErrOlder is returned.
func adoptForm(s store.Store, shared bool, logger *slog.Logger) error {
	if shared {
		if have, err := layout.Check(s); have != 0 || err != nil {
			return err
		}
	}
	from, err := layout.Upgrade(context.Background(), s)
	if err == nil && from != 0 && from != layout.Current {
		logger.Info("the store was brought to the form of this release; older ones cannot use it any more", "from", from, "to", layout.Current)
	}
	return err
}

// UpgradeStore brings the keys of the store of a configuration to today's form, and returns in which they were; 0 if there were none.
// No node may run meanwhile. Errors: ErrInUse, layout.ErrNewer, those of the store.
func UpgradeStore(ctx context.Context, c config.Config, logger *slog.Logger) (from int, err error) {
	s, err := openEngine(c, logger)
	if err != nil {
		return 0, err
	}
	if err = checkWhole(s, c); err == nil {
		from, err = layout.Upgrade(ctx, s)
	}
	return from, errors.Join(err, s.Close())
}

// openEngine opens the store itself.
func openEngine(c config.Config, logger *slog.Logger) (store.Store, error) {
	if c.Store != "" {
		return postgres.Open(postgres.Options{URL: string(c.Store), Logger: logger})
	}
	return pebble.Open(pebble.Options{Dir: filepath.Join(c.Data, backupStore), Logger: logger})
}

// StorePlace names the store of a configuration for people.
func StorePlace(c config.Config) string {
	if c.Store != "" {
		return c.Store.String()
	}
	return filepath.Join(c.Data, backupStore)
}
