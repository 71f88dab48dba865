package verify

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"waybill/internal/mailbox"
	"waybill/internal/store"
	"waybill/internal/store/keys"
)

// account is what there is of an account, by whatever key.
type account struct {
	known    bool // it is in the directory
	purging  bool // what it had is being deleted
	boxes    int  // that have a name
	messages int64
	octets   int64  // of its messages
	counted  int64  // as the counter says
	torn     bool   // a message cannot be read, so its octets are not known
	numbers  int64  // the counter of mailboxes
	highest  uint32 // number of a mailbox that is there
}

// box is what there is of a mailbox, by whatever key.
type box struct {
	names    int
	purging  bool
	messages int64
	// the highest that are there, and the counters
	maxUID               uint32
	maxChange            int64
	uids, changes, count int64
}

func (v *verifier) owner(name string) *account {
	a := v.accounts[name]
	if a == nil {
		a = &account{}
		v.accounts[name] = a
	}
	return a
}

func (v *verifier) boxOf(x keys.Box) *box {
	b := v.boxes[x]
	if b == nil {
		b = &box{}
		v.boxes[x] = b
	}
	a := v.owner(x.Account)
	a.highest = max(a.highest, x.Number)
	return b
}

func titleOf(x keys.Box) string { return fmt.Sprintf("mailbox %d of %s", x.Number, x.Account) }

func (v *verifier) purge(e store.Entry) {
	x, ok := keys.ParsePurge(e.Key)
	switch {
	case !ok:
		v.malformed(e)
	case x.Number == 0:
		v.owner(x.Account).purging = true
	default:
		v.boxOf(x).purging = true
	}
}

// box looks at the record of a mailbox.
func (v *verifier) box(e store.Entry) {
	account, _, ok := keys.ParseOwner(e.Key)
	name := keys.ParseMailbox(account, e.Key)
	if !ok || name == "" {
		v.malformed(e)
		return
	}
	what := fmt.Sprintf("mailbox %s of %s", name, account)
	number, uidValidity, err := mailbox.DecodeBox(e.Value)
	if err != nil {
		v.found(Damage, what, "its record cannot be read: its mail cannot be reached, and mail for it is put off: %v", err)
		return
	}
	if number == 0 || uidValidity == 0 {
		v.found(Damage, what, "it has the number %d and the UIDVALIDITY %d, and neither may be 0", number, uidValidity)
	}
	v.boxOf(keys.Box{Account: account, Number: number}).names++
	v.owner(account).boxes++
}

// ofAccount returns the account of a key that has nothing else in it; ok is false if it has, which is told.
func (v *verifier) ofAccount(e store.Entry) (name string, ok bool) {
	name, rest, ok := keys.ParseOwner(e.Key)
	if !ok || len(rest) > 0 {
		v.malformed(e)
		return "", false
	}
	return name, true
}

func (v *verifier) boxNumber(e store.Entry) {
	if name, ok := v.ofAccount(e); ok {
		v.owner(name).numbers = v.counter(e)
	}
}

// uidValidity looks at the newest one of an account, which outlives it.
func (v *verifier) uidValidity(e store.Entry) {
	name, ok := v.ofAccount(e)
	if !ok {
		return
	}
	if _, err := mailbox.DecodeUIDValidity(e.Value); err != nil {
		v.found(Damage, "the newest UIDVALIDITY of "+name, "it cannot be read, and no mailbox can be created: %v", err)
	}
}

func (v *verifier) octets(e store.Entry) {
	if name, ok := v.ofAccount(e); ok {
		v.owner(name).counted = v.counter(e)
	}
}

func (v *verifier) boxCounter(e store.Entry) {
	x, which, ok := keys.ParseBoxCounter(e.Key)
	if !ok {
		v.malformed(e)
		return
	}
	b, n := v.boxOf(x), v.counter(e)
	switch which {
	case 'u':
		b.uids = n
	case 'c':
		b.changes = n
	case 'n':
		b.count = n
	}
}

func (v *verifier) imported(e store.Entry) {
	account, _, ok := keys.ParseOwner(e.Key)
	if !ok {
		v.malformed(e)
		return
	}
	v.owner(account)
}

func (v *verifier) message(e store.Entry) {
	x, uid, ok := keys.ParseMessage(e.Key)
	if !ok {
		v.malformed(e)
		return
	}
	v.report.Messages++
	b, a := v.boxOf(x), v.owner(x.Account)
	b.messages++
	a.messages++
	b.maxUID = max(b.maxUID, uid)
	what := messageOf(x, uid)
	entry, err := mailbox.DecodeEntry(e.Value)
	if err != nil {
		a.torn = true
		v.found(Damage, what, "its record cannot be read: %v", err)
		return
	}
	b.maxChange = max(b.maxChange, entry.Change)
	a.octets += entry.Size
	if !v.has(keys.Ref(entry.Body.ID, x.Holder(uid))) {
		v.found(Damage, what, "it does not hold its content, which may be deleted under it")
	}
}

func messageOf(x keys.Box, uid uint32) string {
	return fmt.Sprintf("message %d of %s, mailbox %d", uid, x.Account, x.Number)
}

func (v *verifier) tombstone(e store.Entry) {
	x, change, uid, ok := keys.ParseGone(e.Key)
	if !ok {
		v.malformed(e)
		return
	}
	b := v.boxOf(x)
	b.maxUID = max(b.maxUID, uid)
	b.maxChange = max(b.maxChange, int64(change))
	if v.has(x.Message(uid)) {
		v.found(Damage, messageOf(x, uid), "it is there, and is said to have been expunged")
	}
}

// agree compares what was found of accounts and mailboxes.
func (v *verifier) agree() {
	for _, name := range slices.Sorted(maps.Keys(v.accounts)) {
		v.agreeAccount(name, v.accounts[name])
	}
	byName := func(x, y keys.Box) int {
		return cmp.Or(cmp.Compare(x.Account, y.Account), cmp.Compare(x.Number, y.Number))
	}
	for _, x := range slices.SortedFunc(maps.Keys(v.boxes), byName) {
		if a := v.owner(x.Account); a.known && !a.purging {
			v.agreeBox(x, v.boxes[x])
		}
	}
}

func (v *verifier) agreeAccount(name string, a *account) {
	what := "account " + name
	switch {
	case a.purging:
	case !a.known && a.boxes+int(a.messages) > 0:
		v.found(Damage, what, "there is no account of that name, so its %d mailboxes with %d messages cannot be reached", a.boxes, a.messages)
	case !a.known:
		v.found(Untidy, what, "there is no account of that name, and something is left of it")
	default:
		if a.counted != a.octets && !a.torn {
			v.found(Damage, what, "its mail has %d octets and is said to have %d, which its quota goes by", a.octets, a.counted)
		}
		if a.numbers < int64(a.highest) {
			v.found(Damage, what, "it has a mailbox with the number %d, and the next one would get %d", a.highest, a.numbers+1)
		}
	}
}

func (v *verifier) agreeBox(x keys.Box, b *box) {
	what := titleOf(x)
	switch {
	case b.purging:
		return
	case b.names == 0 && b.messages > 0:
		v.found(Damage, what, "no mailbox has that number, so its %d messages cannot be reached", b.messages)
		return
	case b.names == 0:
		v.found(Untidy, what, "no mailbox has that number, and something is left of it")
		return
	case b.names > 1:
		v.found(Damage, what, "%d names lead to it", b.names)
	}
	if b.count != b.messages {
		v.found(Damage, what, "it has %d messages and is said to have %d", b.messages, b.count)
	}
	if b.uids < int64(b.maxUID) {
		v.found(Damage, what, "it has, or had, a message with UID %d, and the next one would get %d", b.maxUID, b.uids+1)
	}
	if b.changes < b.maxChange {
		v.found(Damage, what, "its last change has the number %d, and the next one would get %d", b.maxChange, b.changes+1)
	}
}
