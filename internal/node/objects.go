package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"waybill/internal/config"
	"waybill/internal/store/bodies"
	"waybill/internal/store/objects"
)

// openBodies returns the bodies in a store, and in the object store that the configuration names beside it.
func openBodies(c config.Config, e engine, logger *slog.Logger) (*bodies.Bodies, error) {
	o := bodies.Options{Store: e, Inline: c.Bodies.Inline, Shared: e.Shared()}
	bucket, err := openObjects(c.Bodies, logger)
	if err != nil {
		return nil, err
	}
	if bucket != nil {
		o.Objects = bucket
	}
	return bodies.With(o), nil
}

// openObjects opens the object store of a configuration; nil if it names none. Nothing is asked of the server.
func openObjects(c config.Bodies, logger *slog.Logger) (*objects.Bucket, error) {
	if c.Endpoint == "" {
		return nil, nil
	}
	endpoint, err := url.Parse(c.Endpoint)
	if err != nil {
		return nil, fmt.Errorf("the endpoint of bodies: %w", err)
	}
	keys, err := objects.ReadKeys(c.Credentials)
	if err != nil {
		return nil, err
	}
	return objects.Open(objects.Options{Endpoint: endpoint, Region: c.Region, Bucket: c.Bucket, Prefix: c.Prefix, Keys: keys, Logger: logger})
}

// claimTime bounds how long a start waits for the object store.
const claimTime = 5 * time.Second

// claimObjects refuses a place that belongs to another store. Where the object store cannot be asked now, the server starts all the same: whoever
// needs it asks again, and the log has the reason.
func (n *Node) claimObjects(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, claimTime)
	defer cancel()
	err := n.bodies.Claim(ctx)
	if errors.Is(err, bodies.ErrForeign) {
		return err
	}
	if errors.Is(err, bodies.ErrUnsettled) {
		n.logger.Warn("large mail is put off for a moment", "error", err)
	} else if err != nil && ctx.Err() != nil {
		n.logger.Error("the object store cannot be used", "error", "it has not answered yet; large mail is put off until it does")
	}
	return nil
}

// When the objects are looked through for orphans.
const (
	collectFirst    = time.Hour // after the start
	collectInterval = 24 * time.Hour
	orphanAge       = 24 * time.Hour
)

// collect deletes, once a day, the objects that nothing tells of.
func (n *Node) collect(ctx context.Context) {
	timer := time.NewTimer(collectFirst)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		timer.Reset(collectInterval)
		switch found, err := n.bodies.Collect(ctx, orphanAge); {
		case err != nil && ctx.Err() == nil && !errors.Is(err, objects.ErrUnavailable): // which the object store has told
			n.logger.Warn("the object store could not be looked through for orphans", "error", err)
		case found > 0:
			n.logger.Info("orphans in the object store were deleted", "objects", found)
		}
	}
}
