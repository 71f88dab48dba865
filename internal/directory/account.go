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

// Account is somebody who gets mail here.
type Account struct {
	Address  mail.Address // as it was created; its Key names the account
	Created  time.Time
	Disabled bool  // nobody logs in, and no mail is taken
	Quota    int64 // octets of all its mail; 0: as the configuration says; NoQuota
}

// NoQuota is the quota of an account that may have any amount of mail.
const NoQuota = -1

// Key names the account in mailboxes and logs.
func (a Account) Key() string { return a.Address.Key() }

// Limit is how many octets the account may have, where the configuration says that for all others; 0: any number.
func (a Account) Limit(preset int64) int64 {
	switch a.Quota {
	case 0:
		return preset
	case NoQuota:
		return 0
	}
	return a.Quota
}

// Lookup returns the account that has an address, aliases left aside. postmaster has one in every local domain, and
// without a domain or at the host's own name too, as long as there is any account (RFC 5321 §4.5.1). Errors:
// ErrNoAccount, those of the store.
func (d *Directory) Lookup(ctx context.Context, addr mail.Address) (Account, error) {
	if err := ctx.Err(); err != nil {
		return Account{}, err
	}
	account, generation, ok := d.accounts.get(addr)
	if ok {
		return account, nil
	}
	snap, err := d.st.Snapshot()
	if err != nil {
		return Account{}, fmt.Errorf("look up %s: %w", addr, err)
	}
	defer snap.Close()
	if account, err = d.lookup(snap, addr); err != nil {
		return Account{}, fmt.Errorf("look up %s: %w", addr, err)
	}
	d.accounts.put(addr, account, generation)
	return account, nil
}

func (d *Directory) lookup(snap store.Snapshot, addr mail.Address) (Account, error) {
	domain, local, err := d.find(strings.ToLower(addr.Domain))
	if err != nil {
		return Account{}, err
	}
	if !local {
		if !d.isOwn(addr) {
			return Account{}, ErrNoAccount
		}
		return firstFound(d.domains.get().all, func(x Domain) (Account, error) {
			return d.lookup(snap, mail.Address{Local: postmaster, Domain: x.Name})
		})
	}
	addr.Domain = domain.Name
	account, err := get(snap, addr)
	if base, tagged := cutTag(addr); tagged && errors.Is(err, ErrNoAccount) {
		return d.lookup(snap, base)
	}
	if strings.EqualFold(addr.Local, postmaster) && errors.Is(err, ErrNoAccount) {
		return firstFound(append([]Domain{domain}, d.domains.get().all...), func(x Domain) (Account, error) {
			return d.postmaster(snap, x)
		})
	}
	return account, err
}

const postmaster = "postmaster"

// isOwn says whether an address is this host's, in none of the domains with accounts: its postmaster, and the sender of
// its reports, who is nobody; but who answers one reaches the person that can help.
func (d *Directory) isOwn(addr mail.Address) bool {
	named := strings.EqualFold(addr.Local, postmaster) || strings.EqualFold(addr.Local, "mailer-daemon")
	return named && (addr.Domain == "" || d.IsLocal(addr.Domain))
}

// cutTag returns an address without its tag, if it has one.
func cutTag(addr mail.Address) (base mail.Address, tagged bool) {
	local, _, tagged := strings.Cut(addr.Local, "+")
	return mail.Address{Local: local, Domain: addr.Domain}, tagged && local != ""
}

// postmaster returns the account that the domain names, else its first.
func (d *Directory) postmaster(snap store.Snapshot, domain Domain) (Account, error) {
	if named, err := mail.ParseAddress(domain.Postmaster); err == nil && d.IsLocal(named.Domain) {
		if account, err := getTagged(snap, named); !errors.Is(err, ErrNoAccount) {
			return account, err
		}
	}
	return first(snap, domain.Name)
}

// getTagged returns the account of that very name, or else the one of the name without its tag.
func getTagged(snap store.Snapshot, addr mail.Address) (Account, error) {
	account, err := get(snap, addr)
	if base, tagged := cutTag(addr); tagged && errors.Is(err, ErrNoAccount) {
		return get(snap, base)
	}
	return account, err
}

// first returns the account of a domain that was created first.
func first(snap store.Snapshot, domain string) (Account, error) {
	accounts, err := list(snap, domain)
	if err != nil {
		return Account{}, err
	}
	if len(accounts) == 0 {
		return Account{}, ErrNoAccount
	}
	oldest := accounts[0]
	for _, a := range accounts[1:] {
		if a.Created.Before(oldest.Created) {
			oldest = a
		}
	}
	return oldest, nil
}

// firstFound returns the first account that find finds.
func firstFound(domains []Domain, find func(Domain) (Account, error)) (Account, error) {
	for _, x := range domains {
		if account, err := find(x); !errors.Is(err, ErrNoAccount) {
			return account, err
		}
	}
	return Account{}, ErrNoAccount
}

// Accounts returns the accounts of a domain, or all if it is "". Errors: those of the store.
func (d *Directory) Accounts(ctx context.Context, domain string) ([]Account, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	snap, err := d.st.Snapshot()
	if err != nil {
		return nil, fmt.Errorf("list accounts: %w", err)
	}
	defer snap.Close()
	return list(snap, domain)
}

func list(snap store.Snapshot, domain string) (accounts []Account, err error) {
	for e, err := range snap.Scan(store.Prefix(keys.Accounts(domain))) {
		if err != nil {
			return nil, err
		}
		account, err := DecodeAccount(e.Value)
		if err != nil {
			return nil, fmt.Errorf("key %q: %w", e.Key, err)
		}
		accounts = append(accounts, account)
	}
	return accounts, nil
}

// Change is what is to be different about an account; nil stays as it is.
type Change struct {
	Disabled *bool
	Quota    *int64
}

// Update adds to the batch a change of an account. The commit fails with store.ErrConflict if it was changed meanwhile.
// Errors: ErrNoAccount, those of the store.
func (d *Directory) Update(ctx context.Context, b *store.Batch, addr mail.Address, c Change) error {
	account, version, err := d.versioned(ctx, addr)
	if err != nil {
		return err
	}
	if c.Disabled != nil {
		account.Disabled = *c.Disabled
	}
	if c.Quota != nil {
		account.Quota = *c.Quota
	}
	b.Check(keys.Account(addr), version)
	b.Put(keys.Account(addr), account.encode())
	return nil
}

// Remove adds to the batch the end of an account; its mail is the mailboxes' business. Aliases that lead to it, and domains
// whose postmaster it is by name, must have been changed before. The commit fails with store.ErrConflict if the account was
// changed meanwhile.
func (d *Directory) Remove(ctx context.Context, b *store.Batch, addr mail.Address) error {
	_, version, err := d.versioned(ctx, addr)
	if err != nil {
		return err
	}
	if err := d.checkUnused(ctx, addr); err != nil {
		return fmt.Errorf("account %s: %w", addr, err)
	}
	b.Check(keys.Account(addr), version)
	b.Delete(keys.Account(addr))
	b.Delete(keys.Password(addr))
	b.Delete(keys.SCRAM(addr))
	return nil
}

// checkUnused says who else's mail comes to an account.
func (d *Directory) checkUnused(ctx context.Context, addr mail.Address) error {
	aliases, err := d.Aliases(ctx, "")
	if err != nil {
		return err
	}
	snap, err := d.st.Snapshot()
	if err != nil {
		return err
	}
	defer snap.Close()
	for _, a := range aliases {
		for _, t := range a.Targets {
			leads, err := leadsTo(snap, t, addr)
			if err != nil {
				return err
			}
			if leads && a.Address.Key() != addr.Key() {
				return fmt.Errorf("the alias %s leads to it; change or remove that first", a.Address)
			}
		}
	}
	for _, x := range d.domains.get().all {
		named, err := mail.ParseAddress(x.Postmaster)
		if err != nil {
			continue
		}
		if leads, err := leadsTo(snap, named, addr); err != nil {
			return err
		} else if leads {
			return fmt.Errorf("the domain %s has it as its postmaster; name another one first", x.Name)
		}
	}
	return nil
}

// leadsTo says whether an address is that of an account, by itself or by its name without the tag.
func leadsTo(snap store.Snapshot, addr, account mail.Address) (bool, error) {
	addr.Domain = strings.ToLower(addr.Domain)
	base, tagged := cutTag(addr)
	if !tagged || base.Key() != account.Key() || addr.Key() == account.Key() {
		return addr.Key() == account.Key(), nil
	}
	_, err := get(snap, addr)
	if errors.Is(err, ErrNoAccount) {
		if _, _, err = getAlias(snap, addr); errors.Is(err, ErrNoAlias) {
			return true, nil
		}
	}
	return false, err
}

func (d *Directory) versioned(ctx context.Context, addr mail.Address) (Account, store.Version, error) {
	if err := ctx.Err(); err != nil {
		return Account{}, store.Absent, err
	}
	snap, err := d.st.Snapshot()
	if err != nil {
		return Account{}, store.Absent, err
	}
	defer snap.Close()
	value, version, err := snap.Get(keys.Account(addr))
	if errors.Is(err, store.ErrNotFound) {
		err = ErrNoAccount
	}
	if err != nil {
		return Account{}, store.Absent, fmt.Errorf("account %s: %w", addr, err)
	}
	account, err := DecodeAccount(value)
	if err != nil {
		return Account{}, store.Absent, fmt.Errorf("account %s: %w", addr, err)
	}
	return account, version, nil
}

func get(snap store.Snapshot, addr mail.Address) (Account, error) {
	value, _, err := snap.Get(keys.Account(addr))
	if errors.Is(err, store.ErrNotFound) {
		return Account{}, ErrNoAccount
	}
	if err != nil {
		return Account{}, err
	}
	return DecodeAccount(value)
}

// Formats are the first octet of an account's record. Format 1: local-part · domain · created; format 2 has after it:
// flags (1: disabled) · quota. An account is written in the lowest format that can say what it has.
const (
	accountFormat1 = 1
	accountFormat2 = 2
)

func (a Account) encode() []byte {
	format := byte(accountFormat1)
	if a.Disabled || a.Quota != 0 {
		format = accountFormat2
	}
	b := record.AppendText([]byte{format}, a.Address.Local)
	b = record.AppendText(b, a.Address.Domain)
	b = record.AppendTime(b, a.Created)
	if format == accountFormat1 {
		return b
	}
	flags := byte(0)
	if a.Disabled {
		flags = 1
	}
	return binary.AppendVarint(append(b, flags), a.Quota)
}

// DecodeAccount reads a record. Errors: record.ErrCorrupt.
func DecodeAccount(value []byte) (a Account, err error) {
	format := byte(accountFormat2)
	if len(value) > 0 && value[0] == accountFormat1 {
		format = accountFormat1
	}
	r := record.NewReader(value, format)
	a.Address = mail.Address{Local: r.Text(), Domain: r.Text()}
	a.Created = r.Time()
	if format == accountFormat2 {
		flags := r.Octet()
		if flags > 1 {
			r.Fail()
		}
		a.Disabled = flags == 1
		a.Quota = r.Varint()
	}
	return a, r.End()
}
