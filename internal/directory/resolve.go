package directory

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"waybill/internal/mail"
	"waybill/internal/store"
)

// Target is somebody who gets the mail for an address.
type Target struct {
	Path    mail.Address // the forward-path to them
	Account Account      // zero if Path leads elsewhere
	// Forwarded: an alias sends the mail out again, and the reverse-path is to be rewritten (package srs), for the next
	// hop may not take it from us under that of its author.
	Forwarded bool
}

// Resolution is what an address leads to.
type Resolution struct {
	Targets []Target // one or more
	Alias   bool     // not by itself
	Rule    string   // what decided, for the waybill
}

// Resolve returns who gets the mail for an address of ours, aliases followed. Errors: ErrNoAccount, ErrTooFar,
// ErrUnreadable, those of the store.
func (d *Directory) Resolve(ctx context.Context, addr mail.Address) (Resolution, error) {
	if err := ctx.Err(); err != nil {
		return Resolution{}, err
	}
	found, generation, ok := d.targets.get(addr)
	if ok {
		return found, nil
	}
	snap, err := d.st.Snapshot()
	if err != nil {
		return Resolution{}, fmt.Errorf("resolve %s: %w", addr, err)
	}
	defer snap.Close()
	e := &expansion{d: d, snap: snap}
	if err := e.address(addr, 0); err != nil {
		return Resolution{}, fmt.Errorf("resolve %s: %w", addr, err)
	}
	found = Resolution{Targets: e.targets, Alias: e.alias, Rule: e.rule}
	d.targets.put(addr, found, generation)
	return found, nil
}

// Owns says whether an address belongs to an account: whether mail for it comes to the account, be it among others, so
// that who writes under it gets the answers. Errors: those of the store.
func (d *Directory) Owns(ctx context.Context, account, addr mail.Address) (bool, error) {
	if !d.IsLocal(addr.Domain) {
		return false, nil
	}
	found, err := d.Resolve(ctx, addr)
	if errors.Is(err, ErrNoAccount) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	for _, t := range found.Targets {
		if !t.Account.Address.IsNull() && t.Account.Key() == account.Key() {
			return true, nil
		}
	}
	return false, nil
}

// expansion follows aliases from one address.
type expansion struct {
	d       *Directory
	snap    store.Snapshot
	planned *Alias // counts as there already

	trail   []string        // aliases on the way, by key
	passed  map[string]bool // aliases whose targets are all added, by key
	targets []Target
	added   map[string]bool // by key
	alias   bool
	rule    string
	circle  string // an alias that leads back to one on the way
}

// address adds the targets of an address. Errors: ErrNoAccount, ErrTooFar, those of the store.
func (e *expansion) address(addr mail.Address, depth int) error {
	addr, local, err := e.localised(addr)
	if err != nil {
		return err
	}
	if !local {
		account, err := e.d.lookup(e.snap, addr) // the host's own postmaster, or nobody
		if err != nil {
			return err
		}
		return e.account(addr, account, depth)
	}
	names := []mail.Address{addr}
	if base, tagged := cutTag(addr); tagged {
		names = append(names, base)
	}
	for _, name := range names {
		if found, err := e.named(addr, name, depth); found || err != nil {
			return err
		}
	}
	return e.unnamed(addr, names[len(names)-1], depth)
}

// named looks for an alias or account of that very name.
func (e *expansion) named(addr, name mail.Address, depth int) (found bool, err error) {
	alias, err := e.get(name)
	if err == nil {
		if entered, err := e.enter(alias, depth); entered || err != nil {
			return true, err
		}
	} else if !errors.Is(err, ErrNoAlias) {
		return false, err
	}
	account, err := get(e.snap, name)
	if errors.Is(err, ErrNoAccount) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, e.account(addr, account, depth)
}

// unnamed looks for who gets what nobody has.
func (e *expansion) unnamed(addr, base mail.Address, depth int) error {
	if strings.EqualFold(base.Local, postmaster) {
		account, err := e.d.lookup(e.snap, addr)
		if err != nil {
			return err
		}
		return e.account(addr, account, depth)
	}
	all, err := e.get(mail.Address{Local: CatchAll, Domain: addr.Domain})
	if errors.Is(err, ErrNoAlias) {
		return ErrNoAccount
	}
	if err != nil {
		return err
	}
	entered, err := e.enter(all, depth)
	if err == nil && !entered {
		return ErrNoAccount
	}
	return err
}

// localised gives an address of one of the domains the domain's own spelling.
func (e *expansion) localised(addr mail.Address) (mail.Address, bool, error) {
	domain, local, err := e.d.find(strings.ToLower(addr.Domain))
	if local {
		addr.Domain = domain.Name
	}
	return addr, local, err
}

func (e *expansion) get(addr mail.Address) (Alias, error) {
	if e.planned != nil && e.planned.Address.Key() == addr.Key() {
		return *e.planned, nil
	}
	a, _, err := getAlias(e.snap, addr)
	return a, err
}

// enter follows an alias; entered is false if the way leads through it already: then an account of that name has its turn.
func (e *expansion) enter(a Alias, depth int) (entered bool, err error) {
	key := a.Address.Key()
	for i, on := range e.trail {
		if on == key {
			if i < len(e.trail)-1 { // not from itself
				e.circle = e.trail[len(e.trail)-1]
			}
			return false, nil
		}
	}
	if e.passed[key] { // or aliases that lead to the same ones would be followed without end
		return true, nil
	}
	if depth >= maxDepth {
		return true, fmt.Errorf("%w: aliases lead to aliases more than %d times", ErrTooFar, maxDepth)
	}
	e.trail = append(e.trail, key)
	defer func() { e.trail = e.trail[:len(e.trail)-1] }()
	if depth == 0 {
		e.alias, e.rule = true, ruleOf(a)
	}
	for _, t := range a.Targets {
		if err := e.target(t, depth); err != nil && !errors.Is(err, ErrNoAccount) { // who has gone is left out
			return true, err
		}
	}
	if e.passed == nil {
		e.passed = map[string]bool{}
	}
	e.passed[key] = true
	if len(e.targets) == 0 && depth == 0 {
		return true, ErrNoAccount
	}
	return true, nil
}

// target adds what one target of an alias leads to.
func (e *expansion) target(t mail.Address, depth int) error {
	if e.d.IsLocal(t.Domain) {
		return e.address(t, depth+1)
	}
	return e.add(Target{Path: t, Forwarded: true})
}

func ruleOf(a Alias) string {
	shown := a.Targets[:min(len(a.Targets), 5)]
	text := "alias " + a.Address.String() + " leads to " + joined(shown)
	if more := len(a.Targets) - len(shown); more > 0 {
		text += fmt.Sprintf(" and %d others", more)
	}
	return text
}

func (e *expansion) account(path mail.Address, account Account, depth int) error {
	if depth == 0 {
		e.rule = "account " + account.Address.String()
	}
	return e.add(Target{Path: path, Account: account})
}

// add adds a target, once.
func (e *expansion) add(t Target) error {
	key := t.Path.Key()
	if e.added[key] {
		return nil
	}
	if len(e.targets) == maxTargets {
		return fmt.Errorf("%w: aliases lead to more than %d addresses", ErrTooFar, maxTargets)
	}
	if e.added == nil {
		e.added = map[string]bool{}
	}
	e.added[key] = true
	e.targets = append(e.targets, t)
	return nil
}
