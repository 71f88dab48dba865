package spool

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"waybill/internal/mail"
	"waybill/internal/store"
	"waybill/internal/store/keys"
)

// DueEntry is a place in the due index: when an item is to be attempted.
type DueEntry struct {
	ID  mail.ID
	Due time.Time
}

// compare puts entries in their order: by time, and by id where that is the same.
func (e DueEntry) compare(f DueEntry) int {
	return cmp.Or(e.Due.Compare(f.Due), cmp.Compare(e.ID, f.ID))
}

// Due returns the items that are due until that time, earliest first, at most limit (0: all), of the slices that this node works
// on. The zero DueEntry for after begins at the first; the last entry returned goes on behind it. What it returns may not be
// durable yet.
func (s *Spool) Due(ctx context.Context, until time.Time, after DueEntry, limit int) ([]DueEntry, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	entries, err := s.scanDue(until, until, after, limit)
	if err != nil {
		return nil, fmt.Errorf("read the due index: %w", err)
	}
	return entries, nil
}

// NextDue returns when the first item is due, be it past or to come; ok is false if there is none.
func (s *Spool) NextDue(ctx context.Context) (due time.Time, ok bool, err error) {
	if err := ctx.Err(); err != nil {
		return time.Time{}, false, err
	}
	entries, err := s.scanDue(farthest, time.Time{}, DueEntry{}, 1)
	if err != nil {
		return time.Time{}, false, fmt.Errorf("read the due index: %w", err)
	}
	if len(entries) == 0 {
		return time.Time{}, false, nil
	}
	return entries[0].Due, true, nil
}

// farthest is later than whatever an item can be due at.
var farthest = Held().AddDate(1, 0, 0)

// scanDue returns the entries until that time, from the low-water mark or from behind after. Where there are none, none is
// before horizon, if that is not zero.
func (s *Spool) scanDue(until, horizon time.Time, after DueEntry, limit int) ([]DueEntry, error) {
	fromStart := after == DueEntry{}
	var from time.Time
	var epoch int
	if fromStart {
		from, epoch = s.index.start(time.Now())
	}
	snap, err := s.st.Snapshot()
	if err != nil {
		return nil, err
	}
	defer snap.Close()
	var entries []DueEntry
	of := s.lease.Slices()
	for _, slice := range of {
		r := store.Range{Start: keys.DueFrom(slice, from), End: keys.DueFrom(slice, until.Add(time.Microsecond))}
		if !fromStart {
			r.Start = behind(slice, after)
		}
		if entries, err = appendDue(entries, snap, r, limit); err != nil {
			return nil, err
		}
	}
	if len(of) > 1 {
		slices.SortFunc(entries, DueEntry.compare)
		if limit > 0 && len(entries) > limit {
			entries = entries[:limit]
		}
	}
	switch {
	case !fromStart:
	case len(entries) > 0:
		s.index.raise(entries[0].Due, epoch)
	case !horizon.IsZero():
		s.index.raise(horizon, epoch)
	}
	return entries, nil
}

// behind is the first key of a slice behind an entry, which may be of another one.
func behind(slice uint16, e DueEntry) []byte {
	return append(append(keys.DueFrom(slice, e.Due), e.ID...), 0)
}

// appendDue adds the entries of a range, at most limit (0: all).
func appendDue(entries []DueEntry, snap store.Snapshot, r store.Range, limit int) ([]DueEntry, error) {
	n := 0
	for e, err := range snap.Scan(r) {
		if err != nil {
			return nil, err
		}
		due, id, ok := keys.ParseDue(e.Key)
		if !ok { // it names no message, and must not hold up what stands behind it
			continue
		}
		entries = append(entries, DueEntry{ID: id, Due: due})
		if n++; n == limit {
			break
		}
	}
	return entries, nil
}

// Forget makes the next look at the due index begin at its first entry. To be called when the store was reopened,
// before the index is read: it may have entries again that had been deleted.
func (s *Spool) Forget() { s.index.forget() }

// index keeps the low-water mark of the due index: a time before which no entry is. Entries come and go at the low
// end all the time, and each that went leaves a tombstone that a scan from the prefix would have to pass.
//
// What keeps the mark from passing an entry that is about to be committed: every time that goes into a batch is
// announced first, and the mark stays below all that were announced in the last two spans. Should a commit take
// longer than that, or the store lose deletions in a failure, the mark is forgotten: by Forget, and now and then in
// any case.
type index struct {
	mu        sync.Mutex
	low       time.Time    // zero: not known
	announced [2]time.Time // the earliest time announced in the present span and in the one before; zero: none
	turned    time.Time    // when the present span began
	forgot    time.Time    // when the mark was last forgotten
	epoch     int          // how often
}

const (
	announceSpan = 5 * time.Second
	forgetAfter  = 10 * time.Minute
)

func (x *index) forget() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.low, x.forgot = time.Time{}, time.Now()
	x.epoch++ // a scan that runs now may have seen what is lost
}

// announce is called before an entry is put into a batch.
func (x *index) announce(due time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.announced[0] = earliest(x.announced[0], due)
	if due.Before(x.low) {
		x.low = due
	}
}

// start returns the time at which a scan begins, and the epoch in which it does.
func (x *index) start(now time.Time) (from time.Time, epoch int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if since := now.Sub(x.forgot); since < 0 || since > forgetAfter {
		x.low, x.forgot = time.Time{}, now
		x.epoch++
	}
	if since := now.Sub(x.turned); since < 0 || since > announceSpan {
		x.announced = [2]time.Time{{}, x.announced[0]}
		x.turned = now
	}
	return x.low, x.epoch
}

// raise sets the mark after a scan that began at start found its first entry at that time; not if the mark was
// forgotten meanwhile, for the scan may have seen what is lost.
func (x *index) raise(first time.Time, epoch int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if epoch != x.epoch {
		return
	}
	for _, t := range x.announced {
		if !t.IsZero() {
			first = earliest(first, t)
		}
	}
	x.low = first
}

// earliest returns the earlier of a, which may be zero for none, and b.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}
