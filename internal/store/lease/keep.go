package lease

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"time"

	"waybill/internal/mail"
	"waybill/internal/store"
	"waybill/internal/store/keys"
)

// sight is a beat of another node, and since when it was seen unchanged.
type sight struct {
	beat  store.Version
	since time.Time
}

// ErrNoNumber: all numbers of nodes have slices with mail in them.
var ErrNoNumber = fmt.Errorf("all %d numbers of nodes have mail in the queue: one is free again when its mail is gone (waybill queue list)", mail.Nodes)

// errContended: others took the numbers that were drawn, again and again.
var errContended = errors.New("other nodes join at the same time: try again")

// claimTries bounds how often a number is drawn that somebody else takes at the same time.
const claimTries = 10

// claim makes the process a node under a number that is free.
func (l *Lease) claim(ctx context.Context) error {
	for range claimTries {
		number, err := l.free()
		if err != nil {
			return err
		}
		began := time.Now()
		var b store.Batch
		b.ID = store.NewBatchID(began)
		b.Create(keys.Node(number), member{holder: number, name: l.o.Name, joined: began}.encode())
		b.Check(keys.Copying(), store.Absent)
		b.Put(keys.Beat(number), beat(began))
		result, err := l.o.Store.Commit(ctx, &b)
		if errors.Is(err, store.ErrConflict) {
			if err := l.whole(); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		l.mu.Lock()
		l.number, l.held, l.until = number, map[uint16]store.Version{number: result.Version}, l.end(began)
		l.mu.Unlock()
		l.tell()
		return nil
	}
	return errContended
}

// ErrPart: somebody copies another store into this one, and it is not all there yet.
var ErrPart = errors.New("the store is an unfinished copy of another one: it can be used when the copy is done")

// whole returns ErrPart if a copy is under way.
func (l *Lease) whole() error {
	version, err := store.VersionOf(l.o.Store, keys.Copying())
	if err == nil && version != store.Absent {
		err = ErrPart
	}
	return err
}

// free draws a number that no key has. Anyone will do: so it is long until one comes again, whose last node might still sleep.
func (l *Lease) free() (uint16, error) {
	n, err := l.survey()
	if err != nil {
		return 0, err
	}
	first := rand.IntN(mail.Nodes)
	for i := range mail.Nodes {
		number := uint16((first + i) % mail.Nodes)
		if _, taken := n.members[number]; !taken && n.beats[number] == store.Absent {
			return number, nil
		}
	}
	return 0, ErrNoNumber
}

func beat(at time.Time) []byte { return binary.BigEndian.AppendUint64(nil, uint64(at.UnixMicro())) }

// end is when a lease ends for its holder that was taken or renewed at began.
func (l *Lease) end(began time.Time) time.Time { return began.Add(l.o.Length - l.o.Length/margin) }

// keep renews the lease and looks after the others; at once where it ran out while the store was away, since until then the node
// takes no mail.
func (l *Lease) keep(ctx context.Context) {
	tick := time.NewTicker(l.o.Length / beats)
	defer tick.Stop()
	back, cancel := l.o.Store.Watch(store.Reopened())
	defer cancel()
	for {
		select {
		case <-ctx.Done():
			return
		case <-back:
			if l.Alive() {
				continue
			}
		case <-l.doubt:
		case <-tick.C:
		}
		err := l.renew(ctx)
		if err == nil {
			err = l.look(ctx)
		}
		if err != nil && ctx.Err() == nil && l.o.Store.Healthy() == nil { // else the store has said so itself
			l.o.Logger.Warn("the lease of this node could not be looked after", "error", err)
		}
	}
}

// renew shows that the node is alive. If others thought it is not, it joins anew.
func (l *Lease) renew(ctx context.Context) error {
	began := time.Now()
	number, epoch := l.Epoch()
	if epoch == store.Absent { // it was taken for dead, and could not join anew when it learned that
		return l.claim(ctx)
	}
	var b store.Batch
	b.Check(keys.Node(number), epoch)
	b.Put(keys.Beat(number), beat(began))
	_, err := l.o.Store.Commit(ctx, &b)
	if errors.Is(err, store.ErrConflict) {
		l.o.Logger.Warn("other nodes took this one for dead and its work over: it joins them anew", "node", number)
		l.mu.Lock()
		l.until, l.held = time.Time{}, map[uint16]store.Version{}
		l.mu.Unlock()
		l.tell()
		return l.claim(ctx)
	}
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.until = l.end(began)
	return nil
}

// grace is how long nobody is taken for dead after a node could not look: the others may take as long to find the store again.
func (l *Lease) grace() time.Duration { return 2 * l.o.Length }

// look sees what the node holds, and takes over what nobody works on.
func (l *Lease) look(ctx context.Context) error {
	n, err := l.survey()
	if err != nil {
		return err
	}
	now := time.Now()
	dead := l.see(n, now)
	if l.o.Guest || !l.reconcile(n) {
		return nil
	}
	dead[noNode] = true
	if err := l.takeOver(ctx, n, dead); err != nil {
		if l.o.Store.Healthy() == nil { // what was seen is as good as before: the batch looks at the beats once more
			l.looked = time.Now()
		}
		return err
	}
	if now.Sub(l.tidied) < l.o.Length {
		return nil
	}
	l.tidied = now
	return l.tidy(ctx, n)
}

// see notes the beats of the others, and returns those who have not changed theirs for longer than a lease lasts.
func (l *Lease) see(n nodes, now time.Time) (dead map[uint16]bool) {
	dead = map[uint16]bool{}
	// What was not looked at proves nothing: this node may have slept itself, or the store been away from all.
	blind := now.Sub(l.looked) > l.o.Length/2
	if blind && !l.looked.IsZero() {
		l.patient = now.Add(l.grace())
	}
	l.looked = now
	for _, m := range n.members {
		h := m.holder
		if h == l.number || h == noNode {
			continue
		}
		s, known := l.others[h]
		switch {
		case !known || blind || s.beat != n.beats[h]:
			l.others[h] = sight{n.beats[h], now}
		case now.Sub(s.since) > l.o.Length+l.o.Length/margin && now.After(l.patient):
			dead[h] = true
		}
	}
	return dead
}

// reconcile makes the node hold what the store says that it does: of a batch whose outcome it did not learn it may not know. It is
// false if it is no member any more, which renew will find.
func (l *Lease) reconcile(n nodes) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if epoch := l.held[l.number]; epoch == store.Absent || n.epochs[l.number] != epoch {
		return false
	}
	held := map[uint16]store.Version{}
	for slice, m := range n.members {
		if m.holder == l.number {
			held[slice] = n.epochs[slice]
		}
	}
	if !maps.Equal(held, l.held) {
		l.held = held
		l.tell()
	}
	return true
}

// takeOver makes this node the holder of all slices of those who are dead.
func (l *Lease) takeOver(ctx context.Context, n nodes, dead map[uint16]bool) error {
	for h := range dead {
		var b store.Batch
		var taken []uint16
		for slice, m := range n.members {
			if m.holder != h {
				continue
			}
			b.Check(keys.Node(slice), n.epochs[slice])
			m.holder = l.number
			b.Put(keys.Node(slice), m.encode())
			taken = append(taken, slice)
		}
		if len(taken) == 0 {
			continue
		}
		if h != noNode {
			b.Check(keys.Beat(h), n.beats[h])
			b.Delete(keys.Beat(h))
		}
		took, err := l.take(ctx, &b, taken)
		if err != nil {
			return err
		}
		if took && h != noNode {
			l.o.Logger.Warn("a node has died: its part of the queue is taken over", "node", h, "name", n.members[h].name)
		}
		delete(l.others, h)
	}
	return nil
}

// take commits a batch that makes this node the holder of slices. Another one may have been faster.
func (l *Lease) take(ctx context.Context, b *store.Batch, taken []uint16) (took bool, err error) {
	number, epoch := l.Epoch()
	b.Check(keys.Node(number), epoch)
	b.ID = store.NewBatchID(time.Now())
	result, err := l.o.Store.Commit(ctx, b)
	if errors.Is(err, store.ErrConflict) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, slice := range taken {
		l.held[slice] = result.Version
	}
	l.tell()
	return true, nil
}

// tidy takes slices over that have no node at all, and ends those that are empty.
func (l *Lease) tidy(ctx context.Context, n nodes) error {
	found, err := Slices(l.o.Store)
	if err != nil {
		return err
	}
	full := map[uint16]bool{}
	var b store.Batch
	var taken []uint16
	for _, slice := range found {
		full[slice] = true
		if _, is := n.members[slice]; is {
			continue
		}
		b.Create(keys.Node(slice), member{holder: l.number}.encode())
		taken = append(taken, slice)
	}
	if len(taken) > 0 {
		if _, err := l.take(ctx, &b, taken); err != nil {
			return err
		}
	}
	for slice, m := range n.members {
		if m.holder == l.number && slice != l.number && !full[slice] {
			if err := l.drop(ctx, slice, n.epochs[slice]); err != nil {
				return err
			}
		}
	}
	return nil
}

// drop ends a slice that was found empty. Only its holder adds to a slice that has no node, and this one does not.
func (l *Lease) drop(ctx context.Context, slice uint16, epoch store.Version) error {
	l.mu.Lock()
	delete(l.held, slice)
	l.mu.Unlock()
	var b store.Batch
	b.Check(keys.Node(slice), epoch)
	b.Delete(keys.Node(slice))
	if _, err := l.o.Store.Commit(ctx, &b); err != nil && !errors.Is(err, store.ErrConflict) {
		return err
	}
	return nil
}
