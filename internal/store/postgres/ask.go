package postgres

import (
	"context"
	"errors"
	"time"
)

// errVanished: the row of a writer that has to be asked for is not there.
var errVanished = errors.New("the writer's row has vanished")

// ask finds out whether a writer whose connection is gone has committed its group seq. When it returns without an error,
// the writer's transaction has ended and cannot happen any more; and if it was committed, it is as durable as the server
// makes anything, because the question itself was a commit after it.
func (s *Store) ask(id, seq int64) (applied bool, err error) {
	until := time.Now().Add(s.o.Patience)
	for n := 0; ; n++ {
		applied, err = s.askOnce(id, seq)
		if err == nil || errors.Is(err, errVanished) {
			return applied, err
		}
		if !retryable(err) && code(err) != "55P03" {
			_ = s.fail(err) // the operator hears of it while this goes on
		}
		wait := time.NewTimer(20 * pause(n))
		select {
		case <-wait.C:
		case <-s.ctx.Done():
			return false, err
		}
		if time.Now().After(until) {
			return false, err
		}
	}
}

func (s *Store) askOnce(id, seq int64) (applied bool, err error) {
	ctx, cancel := context.WithTimeout(s.ctx, s.o.Patience)
	defer cancel()
	l, err := s.dialStore(ctx)
	if err != nil {
		return false, err
	}
	defer l.close()
	ending := &request{statement: unregister, params: [][]byte{int8Param(id)}}
	found := &request{statement: appliedGroup, params: [][]byte{int8Param(id), int8Param(seq)}}
	err = l.send(ctx, &request{statement: begin}, &request{statement: impatient}, ending)
	if code(err) == "55P03" {
		// It is still there, perhaps waiting for a client that has gone.
		_ = l.send(ctx, &request{statement: rollback}, &request{statement: terminate, params: [][]byte{[]byte(nameOf(id))}})
		return false, err
	}
	if err != nil {
		return false, err
	}
	if ending.rows != 1 {
		return false, errVanished
	}
	l.warned.Store(false)
	l.sealed.Store(true)
	if err := l.send(ctx, found, &request{statement: commit}); err != nil {
		return false, err
	}
	if l.warned.Load() {
		return false, errWarned
	}
	return found.rows == 1, nil
}
