package bodies

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"waybill/internal/store"
	"waybill/internal/store/keys"
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
	ErrUnsettled = errors.New("whether another store takes the same place shows only after a while, as the object store does not know If-None-Match, " +
		"or the server ended before that was seen")
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
	asked := time.Now()
	err = s.checkOwner(ctx, owner)
	if errors.Is(err, objects.ErrNotFound) {
		if err = s.createOwner(ctx, owner); err == nil {
			asked = time.Now()
			err = s.checkOwner(ctx, owner)
		}
	}
	if err == nil {
		err = s.settle(ctx, asked)
	}
	if err != nil {
		return unavailable(err)
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
// those who found the place nobody's has it: that is known once all of them have written, which takes each two calls. Until then a mark is in the store, durable
// before anything is written, by which other processes that find its name know that too.
func (s *Bodies) createOwner(ctx context.Context, owner []byte) error {
	var b store.Batch
	b.Put(keys.Claiming(), nil)
	result, err := s.st.Commit(ctx, &b)
	if err != nil {
		return fmt.Errorf("who owns the objects: %w", err)
	}
	sure, err := s.writeOwner(ctx, owner)
	if errors.Is(err, objects.ErrExists) {
		sure, err = true, nil
	}
	s.unsettled, s.settled = result.Version, time.Now()
	if !sure { // also after an error, which says nothing about what was written
		s.settled = s.settled.Add(s.settling())
	}
	return err
}

// writeOwner looks once more, as the commit of the mark may have taken any time, and writes: both within two calls, or it gives up.
func (s *Bodies) writeOwner(ctx context.Context, owner []byte) (sure bool, err error) {
	within, cancel := context.WithTimeout(ctx, 2*s.objects.CallTime())
	defer cancel()
	if err = s.checkOwner(within, owner); err == nil || errors.Is(err, objects.ErrNotFound) {
		sure, err = s.objects.Create(within, ownerKey, owner)
	}
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		err = fmt.Errorf("%w: %w", objects.ErrUnavailable, err)
	}
	return sure, err
}

// settling is how long it takes until all have written who may have found the place nobody's; with a half call for what a network keeps of a request
// that was given up.
func (s *Bodies) settling() time.Duration { return 2*s.objects.CallTime() + s.objects.CallTime()/2 }

// settle ends the claim of a place that said, when it was asked, that it is this store's. If another process has written that, since when is not
// known: then it counts from now. Errors: ErrUnsettled; those of the store.
func (s *Bodies) settle(ctx context.Context, asked time.Time) error {
	for {
		version, err := store.VersionOf(s.st, keys.Claiming())
		if err != nil || version == store.Absent {
			return err
		}
		if version != s.unsettled {
			s.unsettled, s.settled = version, time.Now().Add(s.settling())
		}
		if asked.Before(s.settled) {
			return fmt.Errorf("%w (%s): %w", ErrUnsettled, time.Until(s.settled).Round(time.Second), store.ErrUnavailable)
		}
		b := store.Batch{Lazy: true}
		b.Check(keys.Claiming(), version)
		b.Delete(keys.Claiming())
		if _, err = s.st.Commit(ctx, &b); !errors.Is(err, store.ErrConflict) { // else another node was as far, or begins anew
			return err
		}
	}
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
