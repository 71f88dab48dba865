package directory

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"waybill/internal/mail"
	"waybill/internal/store"
	"waybill/internal/store/keys"
	"waybill/internal/store/record"
)

// Alias is an address whose mail others get.
type Alias struct {
	Address mail.Address   // local-part "*": all addresses of the domain that nobody has
	Targets []mail.Address // accounts, other aliases, or addresses elsewhere; one or more
	Created time.Time
}

// CatchAll is the local-part of a domain's catch-all.
const CatchAll = "*"

// Bounds of aliases.
const (
	maxTargets = 1000 // that an address leads to, in the end
	maxDepth   = 10   // aliases that lead to aliases
)

// PutAlias adds to the batch an alias, or with isNew false other targets of one. The commit fails with store.ErrConflict
// if it was made or changed meanwhile. Errors: ErrNoAlias, those of the store, and what is wrong with it.
func (d *Directory) PutAlias(ctx context.Context, b *store.Batch, a Alias, isNew bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	a.Address.Domain = strings.ToLower(a.Address.Domain)
	if _, ok := d.domain(a.Address.Domain); !ok || a.Address.Local == "" {
		return fmt.Errorf("alias %s: %s is no domain of this server; there are: %s", a.Address, quoted(a.Address.Domain), d.names())
	}
	snap, err := d.st.Snapshot()
	if err != nil {
		return err
	}
	defer snap.Close()
	old, version, err := getAlias(snap, a.Address)
	switch {
	case err != nil && !errors.Is(err, ErrNoAlias):
		return fmt.Errorf("alias %s: %w", a.Address, err)
	case err == nil && isNew:
		return fmt.Errorf("alias %s: it is there already and leads to %s; waybill alias set gives it other targets", a.Address, joined(old.Targets))
	case err != nil && !isNew:
		return fmt.Errorf("alias %s: %w", a.Address, ErrNoAlias)
	}
	if a.Created = old.Created; isNew {
		a.Created = time.Now()
	}
	if err := d.checkTargets(snap, a); err != nil {
		return fmt.Errorf("alias %s: %w", a.Address, err)
	}
	if err := d.checkAbove(snap, a, isNew); err != nil {
		return fmt.Errorf("alias %s: %w", a.Address, err)
	}
	b.Check(keys.Alias(a.Address), version)
	b.Put(keys.Alias(a.Address), a.encode())
	return nil
}

// checkTargets says what is wrong with the targets of an alias that is to be: each of ours leads to somebody, none back to
// it, and all together to no more than are followed.
func (d *Directory) checkTargets(snap store.Snapshot, a Alias) error {
	if len(a.Targets) == 0 || len(a.Targets) > maxTargets {
		return fmt.Errorf("it needs from 1 to %d targets", maxTargets)
	}
	e := &expansion{d: d, snap: snap, planned: &a, trail: []string{a.Address.Key()}}
	for _, t := range a.Targets {
		if t.Local == CatchAll || t.Domain == "" {
			return fmt.Errorf("the target %s is no address of somebody", t)
		}
		switch err := e.target(t, 0); {
		case errors.Is(err, ErrNoAccount) && t.Key() == a.Address.Key():
			return errors.New("it leads to itself, which only an address with an account may")
		case errors.Is(err, ErrNoAccount):
			return fmt.Errorf("the target %s is nobody's address here; add the account first", t)
		case err != nil:
			return err
		case e.circle != "":
			return fmt.Errorf("it would lead in a circle: %s leads back to it", e.circle)
		}
	}
	return nil
}

// RemoveAlias adds to the batch the end of an alias. Errors: ErrNoAlias, those of the store.
func (d *Directory) RemoveAlias(ctx context.Context, b *store.Batch, addr mail.Address) error {
	_, version, err := d.alias(ctx, addr)
	if err != nil {
		return err
	}
	b.Check(keys.Alias(addr), version)
	b.Delete(keys.Alias(addr))
	return nil
}

// Alias returns the alias of an address. Errors: ErrNoAlias, those of the store.
func (d *Directory) Alias(ctx context.Context, addr mail.Address) (Alias, error) {
	a, _, err := d.alias(ctx, addr)
	return a, err
}

func (d *Directory) alias(ctx context.Context, addr mail.Address) (Alias, store.Version, error) {
	if err := ctx.Err(); err != nil {
		return Alias{}, store.Absent, err
	}
	snap, err := d.st.Snapshot()
	if err != nil {
		return Alias{}, store.Absent, err
	}
	defer snap.Close()
	a, version, err := getAlias(snap, addr)
	if err != nil {
		err = fmt.Errorf("alias %s: %w", addr, err)
	}
	return a, version, err
}

// Aliases returns the aliases of a domain, or all if it is "". Errors: those of the store.
func (d *Directory) Aliases(ctx context.Context, domain string) (aliases []Alias, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	snap, err := d.st.Snapshot()
	if err != nil {
		return nil, fmt.Errorf("list aliases: %w", err)
	}
	defer snap.Close()
	for e, err := range snap.Scan(store.Prefix(keys.Aliases(domain))) {
		if err != nil {
			return nil, fmt.Errorf("list aliases: %w", err)
		}
		a, err := DecodeAlias(e.Value)
		if err != nil {
			return nil, fmt.Errorf("key %q: %w", e.Key, err)
		}
		aliases = append(aliases, a)
	}
	return aliases, nil
}

func getAlias(snap store.Snapshot, addr mail.Address) (Alias, store.Version, error) {
	value, version, err := snap.Get(keys.Alias(addr))
	if errors.Is(err, store.ErrNotFound) {
		return Alias{}, store.Absent, ErrNoAlias
	}
	if err != nil {
		return Alias{}, store.Absent, err
	}
	a, err := DecodeAlias(value)
	return a, version, err
}

func joined(addrs []mail.Address) string {
	var texts []string
	for _, a := range addrs {
		texts = append(texts, a.String())
	}
	return strings.Join(texts, ", ")
}

// aliasFormat is the first octet of an alias' record: address · created · number of targets · targets; each address is its
// local-part and domain.
const aliasFormat = 1

func (a Alias) encode() []byte {
	b := appendAddress([]byte{aliasFormat}, a.Address)
	b = record.AppendTime(b, a.Created)
	b = binary.AppendUvarint(b, uint64(len(a.Targets)))
	for _, t := range a.Targets {
		b = appendAddress(b, t)
	}
	return b
}

func appendAddress(b []byte, a mail.Address) []byte {
	return record.AppendText(record.AppendText(b, a.Local), a.Domain)
}

// DecodeAlias reads a record. Errors: record.ErrCorrupt.
func DecodeAlias(value []byte) (a Alias, err error) {
	r := record.NewReader(value, aliasFormat)
	a.Address = mail.Address{Local: r.Text(), Domain: r.Text()}
	a.Created = r.Time()
	n := r.Count()
	for range min(n, maxTargets) {
		a.Targets = append(a.Targets, mail.Address{Local: r.Text(), Domain: r.Text()})
	}
	return a, r.End()
}
