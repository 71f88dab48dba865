package directory

import (
	"errors"
	"fmt"

	"waybill/internal/mail"
	"waybill/internal/store"
	"waybill/internal/store/keys"
)

// maxAbove bounds the aliases that are followed to find whether they still lead no further than they may. What is beyond it
// is found when mail comes: ErrTooFar.
const maxAbove = 10_000

// checkAbove says which other alias would lead too far through one that is to be. An alias that does so already is no
// reason to keep one below it as it is.
func (d *Directory) checkAbove(snap store.Snapshot, planned Alias, isNew bool) error {
	if isNew { // most lead to nobody before
		if may, err := d.mayBeLedTo(snap, planned.Address); err != nil || !may {
			return err
		}
	}
	followed := 0
	for e, err := range snap.Scan(store.Prefix(keys.Aliases(""))) {
		if err != nil {
			return err
		}
		above, err := DecodeAlias(e.Value)
		if err != nil || above.Address.Key() == planned.Address.Key() || !d.anyLocal(above.Targets) {
			continue
		}
		if followed++; followed > maxAbove {
			return nil
		}
		after := &expansion{d: d, snap: snap, planned: &planned}
		if _, err = after.enter(above, 0); !errors.Is(err, ErrTooFar) {
			continue
		}
		before := &expansion{d: d, snap: snap}
		if _, was := before.enter(above, 0); !errors.Is(was, ErrTooFar) {
			return fmt.Errorf("the alias %s leads to it: %w", above.Address, err)
		}
	}
	return nil
}

func (d *Directory) anyLocal(addrs []mail.Address) bool {
	for _, a := range addrs {
		if d.IsLocal(a.Domain) {
			return true
		}
	}
	return false
}

// mayBeLedTo says whether an alias may lead to an address of ours as things are: because an alias names it, or because its
// mail comes to anybody, which a catch-all may pass on.
func (d *Directory) mayBeLedTo(snap store.Snapshot, addr mail.Address) (bool, error) {
	e := &expansion{d: d, snap: snap}
	if err := e.address(addr, 0); !errors.Is(err, ErrNoAccount) {
		return true, nil
	}
	_, named, err := naming(snap, addr)
	return named, err
}

// naming returns an alias that has an address, or that address with a tag, among its targets, and is no alias of it.
func naming(snap store.Snapshot, addr mail.Address) (Alias, bool, error) {
	for e, err := range snap.Scan(store.Prefix(keys.Aliases(""))) {
		if err != nil {
			return Alias{}, false, err
		}
		a, err := DecodeAlias(e.Value)
		if err != nil {
			return Alias{}, false, fmt.Errorf("key %q: %w", e.Key, err)
		}
		if a.Address.Key() == addr.Key() {
			continue
		}
		for _, t := range a.Targets {
			if base, tagged := cutTag(t); t.Key() == addr.Key() || tagged && base.Key() == addr.Key() {
				return a, true, nil
			}
		}
	}
	return Alias{}, false, nil
}
