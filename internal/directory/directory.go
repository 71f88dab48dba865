// Package directory knows who is local: the domains that this node takes mail for, their accounts and aliases, and who may
// log in. Domains come from the configuration and from the store, all else from the store.
//
// Whose mail for an address is, is found in this order: an alias of that very address; an account; with a tag,
// name+tag@domain, the alias or account name@domain; for postmaster whoever it is; the domain's catch-all, an alias whose
// local-part is "*". An alias leads to any number of addresses, here or elsewhere; those elsewhere get the mail forwarded.
//
// A password is never stored, logged or part of an error; only its argon2id hash and, unless its domain does without, its
// SCRAM keys are kept. What was looked up and passwords that were right are remembered in memory; no change that was
// committed is missed.
package directory

import (
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"

	"waybill/internal/config"
	"waybill/internal/scram"
	"waybill/internal/store"
	"waybill/internal/store/keys"
	"waybill/internal/store/secret"
)

var (
	// ErrNoAccount: nobody here has that address.
	ErrNoAccount = errors.New("no such account")
	// ErrNoAlias: there is no alias of that address.
	ErrNoAlias = errors.New("no such alias")
	// ErrTooFar: the aliases behind an address lead to more addresses, or through more aliases, than are followed; nobody is
	// left out in silence.
	ErrTooFar = errors.New("aliases lead too far")
	// ErrUnreadable: whether and how an address is ours cannot be read in the store.
	ErrUnreadable = errors.New("the record of the domain cannot be read")
	// ErrCredentials: there is no such account, or the password is wrong; which of both is not told.
	ErrCredentials = errors.New("no such account and password")
	// ErrBusy: so many passwords are being checked that this one would have to wait too long.
	ErrBusy = errors.New("too many passwords are being checked")
)

// Options are what a Directory may know besides.
type Options struct {
	Hostname string // of this node: its postmaster and mailer-daemon get mail, though it is no domain with accounts
	Hash     Cost   // of new passwords; zero: DefaultCost; tests take less
	// Iterations of PBKDF2 for new SCRAM keys; 0: scram.Iterations; tests take less.
	Iterations int
	Logger     *slog.Logger // default: discards
}

// Directory is the accounts and aliases of a store, and the domains of it and of a configuration. It is safe for
// concurrent use.
type Directory struct {
	st         store.Store
	domains    *domains
	hostname   string
	cost       Cost
	iterations int
	fakes      *secret.Secret // the keys for unknown names are made from it: with others after a restart, whose keys stay would be an account
	forwarders *secret.Secret // by it forwarded mail finds its way back
	hashing    chan struct{}  // holds one token for each hash that is being computed
	waiting    atomic.Int64   // for their turn to hash, and those whose turn it is
	accounts   *lookups[Account]
	targets    *lookups[Resolution]
	right      *remembered
}

const (
	// maxHashing bounds the memory that logins take: each hash needs Cost.Memory of it.
	maxHashing = 2
	// maxWaiting bounds how long a login waits: a hash takes some 20 ms.
	maxWaiting = 100
)

// New returns the directory of st, with the domains of a configuration, whose names are in lower case, besides its own.
func New(st store.Store, configured []config.Domain, o Options) *Directory {
	if o.Hash == (Cost{}) {
		o.Hash = DefaultCost
	}
	if o.Iterations == 0 {
		o.Iterations = scram.Iterations
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Directory{
		st: st, domains: newDomains(st, configured, o.Logger), hostname: strings.ToLower(o.Hostname), cost: o.Hash,
		iterations: o.Iterations, fakes: secret.New(st, "scram"), forwarders: secret.New(st, ForwardSecret),
		hashing: make(chan struct{}, maxHashing), right: newRemembered(),
		accounts: newLookups(st, func(Account) int { return 1 }, keys.Accounts(""), keys.Domains()),
		targets:  newLookups(st, func(r Resolution) int { return len(r.Targets) }, keys.Accounts(""), keys.Aliases(""), keys.Domains()),
	}
}
