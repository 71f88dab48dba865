// Package directory knows who is local: the domains that this node takes mail for, their accounts, and who may log in.
// Domains come from the configuration, accounts from the store.
//
// An address with a tag, name+tag@domain, is its account's like name@domain, unless an account of its own has it.
//
// What it does not do: aliases do not exist yet, and a password is never stored, logged or part of an error; only its
// argon2id hash and, unless its domain does without, its SCRAM keys are kept. Accounts that were looked up and passwords that were right are remembered in memory; no change
// that was committed is missed.
package directory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"waybill/internal/config"
	"waybill/internal/mail"
	"waybill/internal/scram"
	"waybill/internal/store"
	"waybill/internal/store/keys"
	"waybill/internal/store/record"
)

var (
	// ErrNoAccount: nobody here has that address.
	ErrNoAccount = errors.New("no such account")
	// ErrCredentials: there is no such account, or the password is wrong; which of both is not told.
	ErrCredentials = errors.New("no such account and password")
	// ErrBusy: so many passwords are being checked that this one would have to wait too long.
	ErrBusy = errors.New("too many passwords are being checked")
)

// Account is somebody who gets mail here.
type Account struct {
	Address mail.Address // as it was created; its Key names the account
	Created time.Time
}

// Key names the account in mailboxes and logs.
func (a Account) Key() string { return a.Address.Key() }

// Options are what a Directory may know besides.
type Options struct {
	Hostname string // of this node: its postmaster and mailer-daemon get mail, though it is no domain with accounts
	Hash     Cost   // of new passwords; zero: DefaultCost; tests take less
	// Iterations of PBKDF2 for new SCRAM keys; 0: scram.Iterations; tests take less.
	Iterations int
}

// Directory is the accounts of a store and the domains of a configuration. It is safe for concurrent use.
type Directory struct {
	st         store.Store
	domains    []config.Domain
	hostname   string
	cost       Cost
	iterations int
	fakes      *fakes
	hashing    chan struct{} // holds one token for each hash that is being computed
	waiting    atomic.Int64  // for their turn to hash, and those whose turn it is
	lookups    *lookups
	right      *remembered
}

const (
	// maxHashing bounds the memory that logins take: each hash needs Cost.Memory of it.
	maxHashing = 2
	// maxWaiting bounds how long a login waits: a hash takes some 20 ms.
	maxWaiting = 100
)

// New returns the directory of the accounts in st with those domains, whose names are in lower case.
func New(st store.Store, domains []config.Domain, o Options) *Directory {
	if o.Hash == (Cost{}) {
		o.Hash = DefaultCost
	}
	if o.Iterations == 0 {
		o.Iterations = scram.Iterations
	}
	return &Directory{
		st: st, domains: domains, hostname: strings.ToLower(o.Hostname), cost: o.Hash,
		iterations: o.Iterations, fakes: newFakes(),
		hashing: make(chan struct{}, maxHashing), lookups: newLookups(st), right: newRemembered(),
	}
}

// IsLocal says whether this node takes mail for a domain.
func (d *Directory) IsLocal(domain string) bool {
	domain = strings.ToLower(domain)
	_, ok := d.domain(domain)
	return ok || d.hostname != "" && domain == d.hostname
}

func (d *Directory) domain(name string) (config.Domain, bool) {
	for _, x := range d.domains {
		if x.Name == name {
			return x, true
		}
	}
	return config.Domain{}, false
}

// Lookup returns the account that has an address. postmaster has one in every local domain, and without a domain or at
// the host's own name too, as long as there is any account (RFC 5321 §4.5.1). Errors: ErrNoAccount, those of the store.
func (d *Directory) Lookup(ctx context.Context, addr mail.Address) (Account, error) {
	if err := ctx.Err(); err != nil {
		return Account{}, err
	}
	account, generation, ok := d.lookups.get(addr)
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
	d.lookups.put(addr, account, generation)
	return account, nil
}

func (d *Directory) lookup(snap store.Snapshot, addr mail.Address) (Account, error) {
	isPostmaster := strings.EqualFold(addr.Local, "postmaster")
	domain, local := d.domain(strings.ToLower(addr.Domain))
	if addr.Domain == "" || !local && d.IsLocal(addr.Domain) {
		// The sender of reports is nobody either; who answers one reaches the person that can help.
		if !isPostmaster && !strings.EqualFold(addr.Local, "mailer-daemon") {
			return Account{}, ErrNoAccount
		}
		addr.Local = "postmaster"
		return firstFound(d.domains, func(x config.Domain) (Account, error) {
			return d.lookup(snap, mail.Address{Local: addr.Local, Domain: x.Name})
		})
	}
	if !local {
		return Account{}, ErrNoAccount
	}
	addr.Domain = domain.Name
	account, err := get(snap, addr)
	if base, tagged := cutTag(addr); tagged && errors.Is(err, ErrNoAccount) {
		return d.lookup(snap, base)
	}
	if isPostmaster && errors.Is(err, ErrNoAccount) {
		return firstFound(append([]config.Domain{domain}, d.domains...), func(x config.Domain) (Account, error) {
			return d.postmaster(snap, x)
		})
	}
	return account, err
}

// cutTag returns an address without its tag, if it has one.
func cutTag(addr mail.Address) (base mail.Address, tagged bool) {
	local, _, tagged := strings.Cut(addr.Local, "+")
	return mail.Address{Local: local, Domain: addr.Domain}, tagged && local != ""
}

// Owns says whether an address belongs to an account: whether mail for it comes to the account, so that who writes under
// it gets the answers. Errors: those of the store.
func (d *Directory) Owns(ctx context.Context, account, addr mail.Address) (bool, error) {
	owner, err := d.Lookup(ctx, addr)
	if errors.Is(err, ErrNoAccount) {
		return false, nil
	}
	return err == nil && owner.Key() == account.Key(), err
}

// postmaster returns the account that the configuration names, else the domain's first.
func (d *Directory) postmaster(snap store.Snapshot, domain config.Domain) (Account, error) {
	if named, err := mail.ParseAddress(domain.Postmaster); err == nil && d.IsLocal(named.Domain) {
		if account, err := get(snap, named); !errors.Is(err, ErrNoAccount) {
			return account, err
		}
	}
	accounts, err := list(snap, domain.Name)
	if err != nil {
		return Account{}, err
	}
	if len(accounts) == 0 {
		return Account{}, ErrNoAccount
	}
	return slices.MinFunc(accounts, func(a, b Account) int { return a.Created.Compare(b.Created) }), nil
}

// firstFound returns the first account that find finds.
func firstFound(domains []config.Domain, find func(config.Domain) (Account, error)) (Account, error) {
	for _, x := range domains {
		if account, err := find(x); !errors.Is(err, ErrNoAccount) {
			return account, err
		}
	}
	return Account{}, ErrNoAccount
}

// list returns the accounts of a domain.
func list(snap store.Snapshot, domain string) (accounts []Account, err error) {
	for e, err := range snap.Scan(store.Prefix(keys.Accounts(domain))) {
		if err != nil {
			return nil, err
		}
		account, err := decodeAccount(e.Value)
		if err != nil {
			return nil, fmt.Errorf("key %q: %w", e.Key, err)
		}
		accounts = append(accounts, account)
	}
	return accounts, nil
}

func get(snap store.Snapshot, addr mail.Address) (Account, error) {
	value, _, err := snap.Get(keys.Account(addr))
	if errors.Is(err, store.ErrNotFound) {
		return Account{}, ErrNoAccount
	}
	if err != nil {
		return Account{}, err
	}
	return decodeAccount(value)
}

// accountFormat is the first octet of an account's record: local-part · domain · created.
const accountFormat = 1

func (a Account) encode() []byte {
	b := record.AppendText([]byte{accountFormat}, a.Address.Local)
	b = record.AppendText(b, a.Address.Domain)
	return record.AppendTime(b, a.Created)
}

func decodeAccount(value []byte) (a Account, err error) {
	r := record.NewReader(value, accountFormat)
	a.Address = mail.Address{Local: r.Text(), Domain: r.Text()}
	a.Created = r.Time()
	return a, r.End()
}
