package directory

import (
	"context"
	"crypto/rand"
	"errors"

	"waybill/internal/store"
	"waybill/internal/store/keys"
)

// secret is random octets that the store makes once and keeps. From "scram" the keys for unknown names are made: if they
// were others after each restart, whose keys stay would be an account. By "srs" forwarded mail finds its way back.
type secret struct {
	name  string
	turn  chan struct{} // holds a token while the octets are being found
	value []byte
}

const secretSize = 32

func newSecret(name string) *secret { return &secret{name: name, turn: make(chan struct{}, 1)} }

// get returns the secret, which it makes when it is needed first. Errors: a done context, those of the store.
func (s *secret) get(ctx context.Context, st store.Store) ([]byte, error) {
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-s.turn }()
	for s.value == nil {
		err := s.find(ctx, st)
		if err != nil && !errors.Is(err, store.ErrConflict) { // made by another node at the same time
			return nil, err
		}
	}
	return s.value, nil
}

func (s *secret) find(ctx context.Context, st store.Store) error {
	snap, err := st.Snapshot()
	if err != nil {
		return err
	}
	defer snap.Close()
	value, _, err := snap.Get(keys.Secret(s.name))
	if !errors.Is(err, store.ErrNotFound) {
		s.value = value
		return err
	}
	value = make([]byte, secretSize)
	rand.Read(value) // never fails, since Go 1.24
	var b store.Batch
	b.Create(keys.Secret(s.name), value)
	if _, err := st.Commit(ctx, &b); err != nil {
		return err
	}
	s.value = value
	return nil
}
