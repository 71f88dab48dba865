package storetest

import (
	"context"
	"errors"
	"sync/atomic"

	"waybill/internal/store"
)

// Line is a node's way to a store that it shares with others, which a test can cut as a network breaks.
type Line struct {
	store.Store
	Cut    atomic.Bool
	Tear   atomic.Bool          // it is cut once a commit meets a conflict
	Before func(b *store.Batch) // is called before a batch is committed; may be nil
}

func (l *Line) Commit(ctx context.Context, b *store.Batch) (store.Result, error) {
	if err := l.Healthy(); err != nil {
		return store.Result{}, err
	}
	if l.Before != nil {
		l.Before(b)
	}
	result, err := l.Store.Commit(ctx, b)
	if errors.Is(err, store.ErrConflict) && l.Tear.Swap(false) {
		l.Cut.Store(true)
	}
	return result, err
}

func (l *Line) Snapshot() (store.Snapshot, error) {
	if err := l.Healthy(); err != nil {
		return nil, err
	}
	return l.Store.Snapshot()
}

func (l *Line) Healthy() error {
	if l.Cut.Load() {
		return store.ErrUnavailable
	}
	return l.Store.Healthy()
}
