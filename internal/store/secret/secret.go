// Package secret keeps random octets that a store makes for itself when they are needed first. All nodes that use the store get
// the same.
package secret

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"waybill/internal/store"
	"waybill/internal/store/keys"
	"waybill/internal/store/record"
)

// Size is how many octets a secret has.
const Size = 32

// Secret is one of a store's secrets. It is safe for concurrent use.
type Secret struct {
	st    store.Store
	name  string
	turn  chan struct{} // holds a token while the octets are being found
	value []byte
}

// New returns the secret of that name in st. It is read, or made, by Get.
func New(st store.Store, name string) *Secret {
	return &Secret{st: st, name: name, turn: make(chan struct{}, 1)}
}

// Get returns the secret, which it makes when it is needed first. Errors: a done context, those of the store.
func (s *Secret) Get(ctx context.Context) ([]byte, error) {
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-s.turn }()
	for s.value == nil {
		err := s.find(ctx)
		if err != nil && !errors.Is(err, store.ErrConflict) { // made by another node at the same time
			return nil, fmt.Errorf("the store's secret %q: %w", s.name, err)
		}
	}
	return s.value, nil
}

func (s *Secret) find(ctx context.Context) error {
	snap, err := s.st.Snapshot()
	if err != nil {
		return err
	}
	defer snap.Close()
	value, _, err := snap.Get(keys.Secret(s.name))
	if err == nil {
		if err = Check(value); err == nil {
			s.value = value
		}
	}
	if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	value = make([]byte, Size)
	rand.Read(value) // never fails, since Go 1.24
	var b store.Batch
	b.Create(keys.Secret(s.name), value)
	if _, err := s.st.Commit(ctx, &b); err != nil {
		return err
	}
	s.value = value
	return nil
}

// Check says whether a stored value can be a secret. Errors: record.ErrCorrupt.
func Check(value []byte) error {
	if len(value) != Size {
		return fmt.Errorf("%w: a secret has %d octets, and this one %d", record.ErrCorrupt, Size, len(value))
	}
	return nil
}
