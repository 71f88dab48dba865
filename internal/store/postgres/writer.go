package postgres

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"waybill/internal/store"
)

const (
	// attempts is how often a group is tried that others disturb.
	attempts = 12
	// idleWait is how long the server waits for the second half, while locks are held. A node that is frozen or cut off
	// between the halves must hold up the others for less than their lock_timeout, or what they want with those keys fails, and
	// for less than a lease lasts, or nobody can take its work over.
	idleWait = 5 * time.Second
	// lockTimeout bounds the first half of a transaction, which may be cancelled.
	lockTimeout = 30 * time.Second
	// keepChanges is for how long a writer's changes can be read by other nodes; one that comes later sees a gap.
	keepChanges = time.Minute
	// maxHalves is the longest time between the two halves of a transaction: newest looks back as far as changes are kept.
	maxHalves = keepChanges / 4
)

// errContended: other nodes got in the way too often.
var errContended = errors.New("other nodes change the same keys all the time")

// errGone: somebody deleted the writer's row, because it was thought to be dead.
var errGone = errors.New("this writer was declared dead by another node")

// writer commits groups, one after another, over one connection. Each connection has a row in waybill_writer, and each
// of its groups, numbered, one in waybill_change.
type writer struct {
	s     *Store
	l     *link
	id    int64
	seq   int64 // of the newest group
	marks []mark
	ghost int64 // a writer whose connection was lost

	inserted, updated []byte // memory for the largest parameters
}

// mark remembers when a group was committed.
type mark struct {
	seq int64
	at  time.Time
}

// work commits groups until the store is closed.
func (w *writer) work() {
	defer w.disconnect()
	for g := w.s.queue.take(); g != nil; g = w.s.queue.take() {
		w.commit(g)
		w.s.queue.release(g)
	}
}

// connect makes a connection ready to write.
func (w *writer) connect(ctx context.Context) error {
	w.disconnect()
	l, err := w.s.dialStore(ctx)
	if err != nil {
		return err
	}
	id := rand.Int64()
	if w.ghost != 0 { // what is left of the connection before may still hold locks
		_ = l.send(ctx, &request{statement: terminate, params: [][]byte{[]byte(nameOf(w.ghost))}})
		w.ghost = 0
	}
	err = l.exec(ctx, fmt.Sprintf("SET application_name = '%s'; SET idle_in_transaction_session_timeout = %d", nameOf(id), w.s.o.idleWait.Milliseconds()))
	if code(err) == "42704" { // an engine that has no such setting
		err = nil
	}
	if err == nil {
		err = l.send(ctx, &request{statement: register, params: [][]byte{int8Param(id)}})
	}
	if err != nil {
		l.close()
		return err
	}
	w.s.mine.Store(id, true)
	w.s.links.Store(l, true)
	w.l, w.id, w.seq, w.marks = l, id, 0, nil
	return nil
}

// nameOf is the name of a writer's session, by which it can be ended.
func nameOf(id int64) string { return fmt.Sprintf("waybill writer %x", id) }

// disconnect ends the connection; its row goes with it if it can.
func (w *writer) disconnect() {
	if w.l == nil {
		return
	}
	l := w.l
	w.l = nil
	w.s.links.Delete(l)
	if l.lost() {
		w.ghost = w.id
	} else {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = l.send(ctx, &request{statement: unregister, params: [][]byte{int8Param(w.id)}})
	}
	l.close()
}

// commit brings a group to its end and tells everybody who waits for it.
func (w *writer) commit(g *group) {
	outcomes, err := w.persist(g)
	if err == nil {
		for i, j := range g.jobs {
			j.done <- outcomes[i]
		}
		return
	}
	// One of them is not to the server's liking, or wants a key that somebody sits on: it alone fails.
	if len(g.jobs) > 1 && (atFault(err) || isStuck(err)) {
		w.commitEach(g)
		return
	}
	for _, j := range g.jobs {
		j.done <- outcome{err: err}
	}
}

// isStuck says whether somebody sat on a key for too long.
func isStuck(err error) bool { return code(err) == "55P03" }

// commitEach brings the batches of a group to their ends one by one. The server does not say which key somebody sits on: so of those
// that want any key which a batch before may have waited for in vain none waits again, as others are behind them.
func (w *writer) commitEach(g *group) {
	stuck := map[string]error{} // keys that batches waited for in vain
	for _, j := range g.jobs {
		if err := j.wantsOneOf(stuck); err != nil {
			j.done <- outcome{err: err}
			continue
		}
		alone := &group{jobs: []*job{j}, ranged: g.ranged}
		outcomes, err := w.persist(alone)
		if err == nil {
			j.done <- outcomes[0]
			continue
		}
		for _, key := range alone.stuck {
			stuck[key] = err
		}
		j.done <- outcome{err: err}
	}
}

// wantsOneOf returns the error of one of the keys that a batch names.
func (j *job) wantsOneOf(keys map[string]error) error {
	for _, key := range slices.Concat(j.keys, j.reads) {
		if err := keys[key]; err != nil {
			return err
		}
	}
	return nil
}

// persist tries a group until its outcome is known.
func (w *writer) persist(g *group) ([]outcome, error) {
	var disturbed, lost int
	looked := false // for torn sessions
	for {
		if err := w.ready(); err != nil {
			return nil, w.s.fail(err)
		}
		a := &attempt{w: w, g: g, careful: disturbed > 0}
		err := a.run()
		if err != nil {
			err = w.settle(a, err)
		}
		switch {
		case err == nil:
			w.s.applied(a)
			return a.plan.outcomes, nil
		case errors.Is(err, store.ErrUnknown):
			return nil, err
		case retryable(err):
			if disturbed++; disturbed == attempts {
				return nil, unavailable(store.ErrUnavailable, errors.Join(errContended, err))
			}
			time.Sleep(pause(disturbed))
		case w.l == nil || w.l.lost() || errors.Is(err, errGone):
			// The connection is gone and the group was not applied. That may be the connection's fault alone.
			w.disconnect()
			if lost++; lost > 2 {
				return nil, w.s.fail(err)
			}
		case isStuck(err): // somebody sits on a key of this group; the others' may be free
			if !looked && w.s.endTorn(w.l) {
				looked = true
				continue
			}
			g.stuck = a.waitedFor()
			return nil, unavailable(store.ErrUnavailable, err)
		case atFault(err):
			return nil, explain(err)
		default:
			return nil, w.s.fail(err)
		}
	}
}

// endTorn ends the sessions of writers that have sent a part of what they had to say and then, for long, nothing, or that take no
// answer: their nodes are frozen, or cut off. It tells whether there were any. Who has waited for a lock in vain calls it.
func (s *Store) endTorn(l *link) bool {
	ctx, cancel := context.WithTimeout(s.ctx, lockTimeout)
	defer cancel()
	r := &request{statement: endTorn, params: [][]byte{int8Param((s.o.lockWait / 2).Milliseconds())}}
	return l.send(ctx, r) == nil && r.rows > 0 // an engine may not know of sessions
}

// ready sees to it that there is a connection.
func (w *writer) ready() error {
	if w.l != nil && !w.l.lost() {
		return nil
	}
	ctx, cancel := context.WithTimeout(w.s.ctx, w.s.o.Patience)
	defer cancel()
	return w.connect(ctx)
}

// settle finds out what became of an attempt that ended with err. It returns nil if the group was applied, an error that
// wraps ErrUnknown if nobody can tell, else err: nothing was applied.
func (w *writer) settle(a *attempt, err error) error {
	l := w.l
	if !a.sent || !l.lost() && !errors.Is(err, errWarned) && code(err) != "" {
		// It never came to the COMMIT.
		if l.lost() {
			return err
		}
		ctx, cancel := context.WithTimeout(w.s.ctx, lockTimeout)
		defer cancel()
		if rolledBack := l.send(ctx, &request{statement: rollback}); rolledBack != nil {
			l.close()
		}
		return err
	}
	w.s.links.Delete(l)
	l.close()
	w.l = nil
	applied, asking := w.s.ask(w.id, a.seq)
	switch {
	case asking != nil:
		return unavailable(store.ErrUnknown, errors.Join(err, asking))
	case applied:
		return nil
	}
	return err
}

// forget returns the number of the newest group whose change need not be kept, or 0.
func (w *writer) forget(now time.Time) (upTo int64) {
	for len(w.marks) > 0 && now.Sub(w.marks[0].at) > keepChanges {
		upTo = w.marks[0].seq
		w.marks = w.marks[1:]
	}
	if n := len(w.marks); n == 0 || now.Sub(w.marks[n-1].at) > keepChanges/16 {
		w.marks = append(w.marks, mark{w.seq, now})
	}
	return upTo
}
