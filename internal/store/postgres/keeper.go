package postgres

import (
	"context"
	"fmt"
	"time"

	"waybill/internal/store"
)

const (
	// pollEvery is how often other nodes' changes are asked for. It takes 0.1 ms of processor time here, and as much of the
	// server's (BenchmarkPoll); a session is to hear of new mail within a second.
	pollEvery = 500 * time.Millisecond
	// sweepEvery is how often what is remembered is cleaned up.
	sweepEvery = 10 * time.Second
	// mostChanges is how many groups of another node are looked at one by one; if there are more, everybody is woken.
	mostChanges = 2000
	// rememberFor is how long a batch's id is known at least.
	rememberFor = 10 * time.Minute
	// deadAfter is how long a writer does nothing before it is taken for dead. (If it lives, it registers anew.)
	deadAfter = time.Hour
)

// keeper looks after the store: it brings it back after a failure, hears what other nodes do, and cleans up.
type keeper struct {
	s      *Store
	l      *link
	heard  map[int64]heard // of each writer
	bucket int64
	since  time.Time // when bucket was first seen
	swept  time.Time
}

// heard is how far a writer had come, and since when it has.
type heard struct {
	seq   int64
	since time.Time
}

func (k *keeper) keep() {
	s := k.s
	defer close(s.kept)
	defer k.drop()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for attempt, well := 0, time.Now(); ; {
		select {
		case <-s.quit:
			return
		case <-s.failed:
			if time.Since(well) > 2*s.o.ReopenPauses[len(s.o.ReopenPauses)-1] {
				attempt = 0 // it was well for long: not the same trouble again
			}
			k.drop()
			if attempt = k.recover(attempt); s.Healthy() != nil {
				return
			}
			well = time.Now()
		case <-tick.C:
			if err := k.poll(); err != nil {
				_ = s.fail(err)
			}
		}
	}
}

// recover tries until the server takes a commit, or the store is closed.
func (k *keeper) recover(attempt int) int {
	pauses := k.s.o.ReopenPauses
	for ; ; attempt++ {
		wait := time.NewTimer(pauses[min(attempt, len(pauses)-1)])
		select {
		case <-k.s.quit:
			wait.Stop()
			return attempt
		case <-wait.C:
		}
		probe := &writer{s: k.s}
		err := probe.ready()
		if err == nil {
			probe.disconnect()
			k.s.recovered()
			return attempt + 1
		}
		k.s.still(err)
	}
}

func (k *keeper) drop() {
	if k.l != nil {
		k.l.close()
		k.l = nil
	}
}

// poll does what is due twice a second. A connection that was lost is made anew once.
func (k *keeper) poll() error {
	ctx, cancel := context.WithTimeout(k.s.ctx, readTimeout)
	defer cancel()
	for again := k.l != nil; ; again = false {
		err := k.pollOnce(ctx)
		if err == nil {
			return nil
		}
		k.drop()
		if !again {
			return err
		}
	}
}

func (k *keeper) pollOnce(ctx context.Context) (err error) {
	if k.l == nil {
		if k.l, err = k.s.dialStore(ctx); err != nil {
			return err
		}
	}
	if err := k.listen(ctx); err != nil {
		return err
	}
	names := &request{statement: replicated, row: func(v [][]byte) error {
		k.s.replicated.Store(len(v[0]) > 0)
		return nil
	}}
	if err := k.l.send(ctx, names); err != nil && code(err) == "" { // an engine that has no such setting
		return err
	}
	if time.Since(k.swept) < sweepEvery {
		return nil
	}
	k.swept = time.Now()
	return k.sweep(ctx)
}

// listen asks how far every other node's writers have come, and wakes those who watch what they changed.
func (k *keeper) listen(ctx context.Context) error {
	now := map[int64]heard{}
	err := k.l.send(ctx, &request{statement: writers, row: func(v [][]byte) error {
		id, err := readInt8(v[0])
		if err != nil {
			return err
		}
		seq, err := readInt8(v[1])
		now[id] = heard{seq, time.Now()}
		return err
	}})
	if err != nil {
		return err
	}
	before := k.heard
	k.heard = now
	var news []news
	for id, h := range now {
		if old := before[id]; old.seq == h.seq && !old.since.IsZero() {
			now[id] = old
		} else if _, mine := k.s.mine.Load(id); !mine && before != nil && h.seq > old.seq {
			news = append(news, newsOf(id, old.seq, h.seq))
		}
	}
	if len(news) == 0 || k.s.watch.Empty() {
		return nil
	}
	return k.tell(ctx, news)
}

// news is that a writer has committed its groups after seq up to upTo.
type news struct{ id, seq, upTo int64 }

func newsOf(id, seq, upTo int64) news { return news{id, seq, upTo} }

// tell wakes those who watch what was changed.
func (k *keeper) tell(ctx context.Context, list []news) error {
	missing := int64(0)
	for _, n := range list {
		missing += n.upTo - n.seq
	}
	if missing > mostChanges {
		k.s.watch.Missed()
		return nil
	}
	ids := int8Array(len(list), func(i int) int64 { return list[i].id })
	seqs := int8Array(len(list), func(i int) int64 { return list[i].seq })
	err := k.l.send(ctx, &request{statement: changes, params: [][]byte{ids, seqs}, row: func(v [][]byte) error {
		id, err := readInt8(v[0])
		if err != nil {
			return err
		}
		seq, err := readInt8(v[1])
		if err != nil {
			return err
		}
		if h := k.heard[id]; seq <= h.seq {
			missing--
		} else {
			k.heard[id] = heard{seq, h.since}
		}
		return k.wake(v[2], v[3], v[4])
	}})
	if missing > 0 { // it was too long ago
		k.s.watch.Missed()
	}
	return err
}

// wake tells of one group's change.
func (k *keeper) wake(keys, starts, ends []byte) error {
	from, err := readByteaArray(starts)
	if err != nil {
		return err
	}
	to, err := readByteaArray(ends)
	if err != nil || len(to) != len(from) {
		return fmt.Errorf("%w: ranges", errShortAnswer)
	}
	for i := range from {
		k.s.watch.Range(store.Range{Start: from[i], End: to[i]})
	}
	return decodeKeys(keys, k.s.watch.Key)
}

// sweep removes what is remembered of old batches and of writers that have gone.
func (k *keeper) sweep(ctx context.Context) error {
	var now int64
	err := k.l.send(ctx, &request{statement: bucket, row: func(v [][]byte) (err error) {
		now, err = readInt8(v[0])
		return err
	}})
	if err != nil {
		return err
	}
	// A bucket is filled for ten minutes, by the clock of any one node that saw it all the time, and kept while the next
	// one is filled.
	if now != k.bucket {
		k.bucket, k.since = now, time.Now()
	} else if time.Since(k.since) > rememberFor {
		err := k.l.send(ctx, &request{statement: nextBucket, params: [][]byte{int8Param(now)}},
			&request{statement: forgetBatches, params: [][]byte{int8Param(now)}})
		if err != nil {
			return err
		}
	}
	for id, h := range k.heard {
		if time.Since(h.since) > deadAfter {
			err := k.l.send(ctx, &request{statement: unregister, params: [][]byte{int8Param(id)}})
			if isStuck(err) && k.s.endTorn(k.l) { // the next sweep finds it free
				continue
			}
			if err != nil {
				return err
			}
			delete(k.heard, id)
		}
	}
	return k.l.send(ctx, &request{statement: forgetEnded})
}
