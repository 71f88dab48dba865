package bodies

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"waybill/internal/store"
	"waybill/internal/store/objects"
	"waybill/internal/store/secret"
)

// ownerKey is the object by which a place says whose it is. Its content is the hexadecimal form of a random value that the store has.
const ownerKey = "store"

// ObjectsOwner is the name, among the secrets of the store, of what its place in an object store is known by.
const ObjectsOwner = "objects"

var (
	// ErrForeign is for a place that another store uses: it would be taken for orphans, and deleted.
	ErrForeign = errors.New("the place that bodies names belongs to another store; name another bucket or another prefix in it")
	// ErrUnsettled is for a place of which another store may still say that it is its own.
	ErrUnsettled = errors.New("the object store does not know If-None-Match, so whether another store takes the same place shows only after a while")
	// errOwnerLost is for a place that says no more whose it is.
	errOwnerLost = errors.New(`the object "` + ownerKey + `", which says whose the place is that bodies names, is gone, so nothing is deleted; ` +
		"if no other store has mail there, restart the server, which makes it anew")
)

// Claim makes sure that the place of the objects is this store's alone, and makes it so if it is nobody's. Errors: it is another store's; it
// is not yet sure (ErrUnsettled); the object store cannot be asked (objects.ErrUnavailable). Whoever needs it asks again. Without an object
// store it does nothing.
func (s *Bodies) Claim(ctx context.Context) error {
	if s.objects == nil {
		return nil
	}
	return s.claim(ctx)
}

// claim makes sure, once, that nobody but this store has objects in its place.
func (s *Bodies) claim(ctx context.Context) error {
	if s.claimed.Load() {
		return nil
	}
	s.claiming.Lock()
	defer s.claiming.Unlock()
	if s.claimed.Load() {
		return nil
	}
	owner, err := s.ownName(ctx)
	if err != nil {
		return err
	}
	err = s.checkOwner(ctx, owner)
	if errors.Is(err, objects.ErrNotFound) {
		if err = s.createOwner(ctx, owner); err == nil {
			err = s.checkOwner(ctx, owner)
		}
	}
	switch {
	case err != nil:
		return unavailable(err)
	case time.Now().Before(s.settled):
		return fmt.Errorf("%w (%s): %w", ErrUnsettled, time.Until(s.settled).Round(time.Second), store.ErrUnavailable)
	}
	s.claimed.Store(true)
	return nil
}

// ownName is what this store's place says, durably.
func (s *Bodies) ownName(ctx context.Context) ([]byte, error) {
	mine, err := secret.New(s.st, ObjectsOwner).Get(ctx)
	if err == nil {
		err = s.st.Barrier(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("who owns the objects: %w", err)
	}
	return hex.AppendEncode(nil, mine), nil
}

// checkOwner asks the place whose it is. Errors: ErrForeign; objects.ErrNotFound if it is nobody's; others of the object store.
func (s *Bodies) checkOwner(ctx context.Context, owner []byte) error {
	found := make([]byte, len(owner))
	err := s.objects.Get(ctx, ownerKey, found)
	if errors.Is(err, objects.ErrCorrupt) || err == nil && string(found) != string(owner) {
		return fmt.Errorf("%w: %w", ErrForeign, store.ErrUnavailable)
	}
	return err
}

// createOwner makes the place this store's, unless it has become somebody's meanwhile, which is no error. Where the object store does not know "unless", the last of
// those who found the place nobody's has it: that is known once all of them have written, which takes each two calls.
func (s *Bodies) createOwner(ctx context.Context, owner []byte) error {
	sure, err := s.objects.Create(ctx, ownerKey, owner)
	if errors.Is(err, objects.ErrExists) {
		sure, err = true, nil
	}
	s.settled = time.Time{}
	if !sure { // also after an error, which says nothing about what was written
		s.settled = time.Now().Add(2*s.objects.CallTime() + s.objects.CallTime()/2) // a half for what a network keeps of a request that was given up
	}
	return err
}

// owns asks afresh whether the place is this store's: what is to be deleted as an orphan is mail if it is another's. From one that is another's this store's
// mail keeps away from then on.
func (s *Bodies) owns(ctx context.Context) error {
	owner, err := s.ownName(ctx)
	if err != nil {
		return err
	}
	err = s.checkOwner(ctx, owner)
	if errors.Is(err, objects.ErrNotFound) {
		return errOwnerLost
	}
	if errors.Is(err, ErrForeign) {
		s.claimed.Store(false)
	}
	return unavailable(err)
}
