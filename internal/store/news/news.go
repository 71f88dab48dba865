// Package news lets the nodes that use one store tell each other what they count in memory: what one says on a topic, the others
// hear within a second.
//
// Every process keeps the last of what it said in the store, under a name that it draws when it begins and numbers that grow; the
// others are woken by store.Watch, and read what is new. Whatever is said, a process writes once in a quarter of a second at most,
// and nothing where nothing is said. Nobody waits for it: while the store is away each node goes on alone, and what is still
// to be said then is said, with its age, when the store is back.
//
// It is no log: what a node has not read in time is gone. It learns that it missed something, and then, as when it
// begins, it reads what its member keeps in the store for good.
package news

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"time"

	"waybill/internal/store"
	"waybill/internal/store/keys"
	"waybill/internal/store/record"
)

const (
	// MaxSaid bounds what is said at once, in octets.
	MaxSaid = 16 << 10

	tellEvery  = 250 * time.Millisecond
	retryAfter = time.Second
	kept       = 64 // things that a process has in the store
	sweepEvery = 10 * time.Minute
	oldAfter   = time.Hour          // what was said so long ago is deleted
	silentFor  = 7 * 24 * time.Hour // somebody who is gone; how far he was heard is forgotten
	finalTime  = time.Second        // for the last thing that is said
	// MaxDeletes is how many keys a sweep deletes in one batch; what is left is deleted by the next.
	MaxDeletes = 2000
)

// Member is what an Exchange speaks for. Its methods are called by Run, one at a time.
type Member interface {
	// Say returns what is to be said by now, at most MaxSaid octets; nil if it is nothing. more says that there is more than
	// that. It may add to the batch that tells it what is to be kept in the store for good.
	Say(b *store.Batch) (said []byte, more bool)
	// Hear gets what another node said, so long ago. What it cannot read comes from a newer release.
	Hear(said []byte, ago time.Duration)
	// Recall reads what is kept in the store. It is called first of all, and when something may have been missed.
	Recall(snap store.Snapshot) error
	// Sweep adds to the batch the end of what need not be kept any more, with checks, at most MaxDeletes of each kind. more says
	// that there is more than that.
	Sweep(snap store.Snapshot, b *store.Batch) (more bool, err error)
}

// Exchange is one process's part in a topic.
type Exchange struct {
	st     store.Store
	topic  string
	member Member
	self   keys.Process
	tell   chan struct{}

	// All that follows is Run's.
	number uint64 // of what was said last
	unsaid *saying
	heard  map[keys.Process]heard
	began  bool // all that was in the store at the beginning is heard
	missed bool // something is gone that was not heard, and the member does not know yet
}

// saying is something that is not known to be in the store.
type saying struct {
	batch *store.Batch
	said  []byte
	at    time.Time
	more  bool // there may be more to say then
}

// heard is how far somebody was heard, and when.
type heard struct {
	number uint64
	at     time.Time
}

// New returns the exchange of a topic in st. It does nothing before Begin or Run.
func New(st store.Store, topic string, m Member) *Exchange {
	x := &Exchange{st: st, topic: topic, member: m, tell: make(chan struct{}, 1), heard: map[keys.Process]heard{}}
	rand.Read(x.self[:]) // never fails, since Go 1.24
	return x
}

// Tell has Say called soon. It never blocks.
func (x *Exchange) Tell() {
	select {
	case x.tell <- struct{}{}:
	default:
	}
}

// Begin listens once, so that what is in the store is known before Run begins. Errors: a done context, those of the store.
func (x *Exchange) Begin(ctx context.Context) error { return x.listen(ctx) }

// Run speaks and listens until ctx is done.
func (x *Exchange) Run(ctx context.Context) {
	changed, cancel := x.st.Watch(keys.NewsOn(x.topic))
	defer cancel()
	sweep := time.NewTimer(time.Duration(mathrand.Int64N(int64(sweepEvery)))) // nodes that begin together sweep one after another
	defer sweep.Stop()
	pause, retry := stopped(), stopped()
	defer pause.Stop()
	defer retry.Stop()
	listen := func() {
		if x.listen(ctx) != nil {
			retry.Reset(retryAfter)
		}
	}
	listen()
	for tell := x.tell; ; {
		select {
		case <-ctx.Done():
			x.last(ctx)
			return
		case <-changed:
			listen()
		case <-retry.C:
			listen()
		case <-tell:
			tell = nil
			pause.Reset(x.say(ctx))
		case <-pause.C:
			tell = x.tell
		case <-sweep.C:
			sweep.Reset(x.sweep(ctx))
		}
	}
}

func stopped() *time.Timer {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}

// last says what is still to be said.
func (x *Exchange) last(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), finalTime)
	defer cancel()
	for x.say(ctx) < retryAfter {
		select {
		case <-x.tell: // perhaps because it was too much for once
		default:
			return
		}
	}
}

// say tells the others what there is, and returns how long to be silent now: retryAfter if it could not be told.
func (x *Exchange) say(ctx context.Context) (pause time.Duration) {
	if x.unsaid == nil {
		s := &saying{batch: &store.Batch{Lazy: true}, at: time.Now()}
		if s.said, s.more = x.member.Say(s.batch); s.said == nil {
			return tellEvery
		}
		x.unsaid = s
		x.number++
	}
	s := x.unsaid
	b := *s.batch
	b.Put(keys.News(x.topic, x.self, x.number), encode(s.at, time.Since(s.at), s.said))
	if x.number > kept {
		b.Delete(keys.News(x.topic, x.self, x.number-kept))
	}
	switch _, err := x.st.Commit(ctx, &b); {
	case errors.Is(err, store.ErrUnavailable), errors.Is(err, store.ErrUnknown), ctx.Err() != nil && err != nil:
		s.more = true // whatever happens meanwhile
		x.Tell()
		return retryAfter
	}
	// Any other error would be the same the next time.
	x.unsaid = nil
	if s.more {
		x.Tell()
	}
	return tellEvery
}

// listen hears what the others have said since the last time.
func (x *Exchange) listen(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	snap, err := x.st.Snapshot()
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	defer snap.Close()
	if !x.began {
		if err := x.member.Recall(snap); err != nil {
			return fmt.Errorf("recall: %w", err)
		}
	}
	if err := x.hearAll(snap); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	if x.began && x.missed {
		if err := x.member.Recall(snap); err != nil {
			return fmt.Errorf("recall: %w", err)
		}
	}
	x.began, x.missed = true, false
	return nil
}

// hearAll hears everybody else.
func (x *Exchange) hearAll(snap store.Snapshot) error {
	for topic := store.Prefix(keys.NewsOn(x.topic)); ; {
		key, err := next(snap, topic)
		if key == nil || err != nil {
			return err
		}
		topic.Start = append(key, 0)
		p, _, ok := keys.ParseNews(x.topic, key)
		if !ok {
			continue
		}
		topic.Start = store.After(keys.NewsOf(x.topic, p))
		if p == x.self {
			continue
		}
		if err := x.hear(snap, p); err != nil {
			return err
		}
	}
}

// next returns the first key in r; nil if there is none.
func next(snap store.Snapshot, r store.Range) ([]byte, error) {
	r.Limit = 1
	for e, err := range snap.Scan(r) {
		return bytes.Clone(e.Key), err
	}
	return nil, nil
}

// hear hears what somebody has said since the last time. How old it is, is known by its clock only where it may have been said
// before this process listened: clocks differ.
func (x *Exchange) hear(snap store.Snapshot, p keys.Process) error {
	r := store.Range{Start: keys.News(x.topic, p, x.heard[p].number+1), End: store.After(keys.NewsOf(x.topic, p))}
	for e, err := range snap.Scan(r) {
		if err != nil {
			return err
		}
		_, number, ok := keys.ParseNews(x.topic, e.Key)
		if !ok {
			continue
		}
		x.missed = x.missed || number != x.heard[p].number+1
		x.heard[p] = heard{number, time.Now()}
		at, late, said, err := decode(e.Value)
		if err != nil { // of a newer release
			continue
		}
		if !x.began {
			late = max(late, time.Since(at))
		}
		x.member.Hear(said, late)
	}
	return nil
}

// sweep deletes what is not needed any more, and returns when to do so again.
func (x *Exchange) sweep(ctx context.Context) (next time.Duration) {
	for p, h := range x.heard {
		if time.Since(h.at) > silentFor {
			delete(x.heard, p)
		}
	}
	more, err := x.sweepOnce(ctx)
	if err == nil && more {
		return retryAfter
	}
	return sweepEvery // also after a conflict: then somebody else is at it
}

func (x *Exchange) sweepOnce(ctx context.Context) (more bool, err error) {
	snap, err := x.st.Snapshot()
	if err != nil {
		return false, err
	}
	defer snap.Close()
	b := &store.Batch{Lazy: true}
	if more, err = x.member.Sweep(snap, b); err != nil {
		return false, err
	}
	for e, err := range snap.Scan(store.Prefix(keys.NewsOn(x.topic))) {
		if err != nil {
			return false, err
		}
		at, _, _, err := decode(e.Value)
		if err == nil && time.Since(at) <= oldAfter {
			continue
		}
		if err != nil && !bytes.HasPrefix(e.Value, []byte{format}) { // of a newer release, which will delete it
			continue
		}
		b.Delete(bytes.Clone(e.Key))
		if len(b.Deletes) > 4*MaxDeletes {
			more = true
			break
		}
	}
	if len(b.Deletes) == 0 {
		return more, nil
	}
	_, err = x.st.Commit(ctx, b)
	return more, err
}

// format is the first octet of what is said: at · how late it was told, in milliseconds · said.
const format = 1

func encode(at time.Time, late time.Duration, said []byte) []byte {
	b := record.AppendTime([]byte{format}, at)
	b = binary.AppendUvarint(b, uint64(max(late, 0)/time.Millisecond))
	return record.AppendText(b, said)
}

func decode(value []byte) (at time.Time, late time.Duration, said []byte, err error) {
	r := record.NewReader(value, format)
	at = r.Time()
	ms := r.Uvarint()
	said = r.Bytes()
	return at, time.Duration(min(ms, maxLate)) * time.Millisecond, said, r.End()
}

// maxLate bounds what is believed, in milliseconds.
const maxLate = 365 * 24 * 60 * 60 * 1000

// Check says whether what is told can be read. Errors: record.ErrCorrupt.
func Check(value []byte) error {
	_, _, _, err := decode(value)
	return err
}
