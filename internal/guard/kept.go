package guard

import (
	"bytes"
	"slices"
	"time"

	"waybill/internal/store"
	"waybill/internal/store/keys"
	"waybill/internal/store/news"
	"waybill/internal/store/record"
)

// Check says whether what is kept of a ban or of a known network can be read. Errors: record.ErrCorrupt.
func Check(value []byte) error {
	_, err := decode(value)
	return err
}

func decode(value []byte) (time.Time, error) {
	r := record.NewReader(value, format)
	at := r.Time()
	return at, r.End()
}

// Recall implements news.Member: it takes over the bans and known networks of the store.
func (m *member) Recall(snap store.Snapshot) error {
	g := (*Guard)(m)
	for e, err := range snap.Scan(store.Prefix(keys.KnownAll())) {
		if err != nil {
			return err
		}
		account, network, ok := keys.ParseKnown(e.Key)
		if at, err := decode(e.Value); ok && err == nil {
			g.recallKnown(pair{account, network}, at)
		}
	}
	for e, err := range snap.Scan(store.Prefix(keys.BannedAll())) {
		if err != nil {
			return err
		}
		network, account, all, ok := keys.ParseBanned(e.Key)
		if until, err := decode(e.Value); ok && err == nil {
			g.recallBan(pair{account, network}, all, until)
		}
	}
	return nil
}

func (g *Guard) recallKnown(p pair, at time.Time) {
	now := time.Now()
	if at.After(now) {
		at = now
	}
	if now.Sub(at) >= knownFor {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	k := g.known.touch(p)
	k.good, k.told = later(k.good, at), later(k.told, at)
}

func (g *Guard) recallBan(p pair, all bool, until time.Time) {
	now := time.Now()
	if !until.After(now) {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if all {
		g.networks.touch(p.network).banUntil(until, now, g.Options)
		return
	}
	if k := g.known.get(p); k != nil {
		k.banUntil(until, now, g.Options)
	}
}

// Sweep implements news.Member: bans that are over and networks of long ago go, and where the store has more than a node keeps
// in memory, those that are next.
func (m *member) Sweep(snap store.Snapshot, b *store.Batch) (more bool, err error) {
	now := time.Now()
	bans, err := sweep(snap, b, keys.BannedAll(), now)
	if err != nil {
		return false, err
	}
	known, err := sweep(snap, b, keys.KnownAll(), now.Add(-knownFor-retell))
	return bans || known, err
}

// mark is a key that is kept, with its time.
type mark struct {
	check store.Check
	at    time.Time
}

// sweep adds to the batch the end of the marks with that prefix that are older than before, or beyond what is to be kept. One
// that changes meanwhile makes the batch fail.
func sweep(snap store.Snapshot, b *store.Batch, prefix []byte, before time.Time) (more bool, err error) {
	var old, young []mark
	for e, err := range snap.Scan(store.Prefix(prefix)) {
		if err != nil {
			return false, err
		}
		at, err := decode(e.Value)
		x := mark{store.Check{Key: bytes.Clone(e.Key), Version: e.Version}, at}
		if err != nil || at.Before(before) {
			old = append(old, x)
		} else {
			young = append(young, x)
		}
	}
	if beyond := len(young) - maxKeys; beyond > 0 {
		slices.SortFunc(young, func(a, b mark) int { return a.at.Compare(b.at) })
		old = append(old, young[:beyond]...)
	}
	more = len(old) > news.MaxDeletes
	for _, x := range old[:min(len(old), news.MaxDeletes)] {
		b.Checks = append(b.Checks, x.check)
		b.Delete(x.check.Key)
	}
	return more, nil
}

// markAt is what is kept of a ban, or of a known network.
func markAt(at time.Time) []byte { return record.AppendTime([]byte{format}, at) }
