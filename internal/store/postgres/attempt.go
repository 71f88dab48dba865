package postgres

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"waybill/internal/store"
)

// errWarned: the server had something to say about a COMMIT, as it does when a wait for a standby was cancelled.
var errWarned = errors.New("the server warned about a COMMIT")

// attempt is one transaction for a group. Its first half locks what the group names, and learns the rest; then the group
// is evaluated here; its second half writes and commits. Each half is one round trip.
type attempt struct {
	w       *writer
	g       *group
	careful bool // look for the keys whose names hold numbers, too
	locked  locked
	plan    *plan
	writes  *writes
	seq     int64
	locking *request // of the keys that the group may change; nil if there are none
	sent    bool     // the second half
}

func (a *attempt) run() error {
	a.seq = a.w.seq + 1
	begun := time.Now()
	if err := a.first(); err != nil {
		return err
	}
	if time.Since(begun) > maxHalves {
		return fmt.Errorf("the first half of a transaction took %s", time.Since(begun))
	}
	if a.plan.refused() {
		return a.giveUp()
	}
	a.writes = a.plan.writes()
	if err := a.second(); err != nil {
		return err
	}
	a.w.seq = a.seq
	return nil
}

// giveUp ends a transaction that has nothing to write.
func (a *attempt) giveUp() error {
	ctx, cancel := context.WithTimeout(a.w.s.ctx, lockTimeout)
	defer cancel()
	a.writes = &writes{}
	return a.w.l.send(ctx, &request{statement: rollback})
}

// first locks the keys of the group.
func (a *attempt) first() error {
	ctx, cancel := context.WithTimeout(a.w.s.ctx, lockTimeout)
	defer cancel()
	a.locked = locked{schemas: a.w.s.o.schemas, keys: map[string]stored{}, known: map[store.BatchID]store.Result{}}
	keys, read := a.g.names()
	ids := a.g.ids()
	living := &request{statement: alive, params: [][]byte{int8Param(a.w.id)}}
	requests := []*request{{statement: begin}, living}
	if len(keys) > 0 {
		a.locking = a.lock(keys)
		requests = append(requests, a.locking)
	}
	if len(read) > 0 {
		requests = append(requests, &request{statement: share, params: [][]byte{byteaList(read)}, row: a.locked.lockRow})
	}
	if len(ids) > 0 {
		requests = append(requests, &request{statement: known, params: [][]byte{byteaList(ids)}, row: a.locked.knownRow})
	}
	// The numbers are drawn when the locks are held: so they grow with each change of a key, whoever makes it.
	draw := &request{statement: numbers, row: a.locked.numbersRow}
	if err := a.w.l.send(ctx, append(requests, draw)...); err != nil {
		return err
	}
	if living.rows != 1 {
		return errGone
	}
	if draw.rows != 1 {
		return fmt.Errorf("waybill_meta has %d rows: %w", draw.rows, errShortAnswer)
	}
	a.plan = evaluate(a.g, &a.locked)
	if a.careful && len(a.plan.unlocked) > 0 {
		return a.again(ctx)
	}
	return nil
}

// waitedFor returns the keys, one of which is what an attempt waited for in vain.
func (a *attempt) waitedFor() []string {
	changed, read := a.g.names()
	if locked := a.locking == nil || a.locking.tag != ""; locked && !a.sent {
		return read
	}
	return changed
}

// again locks the keys whose names are known only now, and draws and evaluates once more.
func (a *attempt) again(ctx context.Context) error {
	a.locking = a.lock(a.plan.unlocked)
	err := a.w.l.send(ctx, a.locking, &request{statement: numbers, row: a.locked.numbersRow})
	if err == nil {
		a.plan = evaluate(a.g, &a.locked)
	}
	return err
}

func (a *attempt) lock(keys []string) *request {
	return &request{statement: lock, params: [][]byte{byteaList(keys)}, row: a.locked.lockRow}
}

func (l *locked) lockRow(v [][]byte) error {
	version, err := readInt8(v[1])
	if err != nil {
		return err
	}
	l.keys[string(v[0])] = stored{version: store.Version(version), number: store.ReadCounter(v[2])}
	return nil
}

func (l *locked) knownRow(v [][]byte) error {
	var id store.BatchID
	if copy(id[:], v[0]) != len(id) {
		return errShortAnswer
	}
	r, err := decodeResult(v[1])
	l.known[id] = r
	return err
}

func (l *locked) numbersRow(v [][]byte) (err error) {
	if l.versions, err = readInt8(v[0]); err != nil {
		return err
	}
	if l.bucket, err = readInt8(v[1]); err != nil {
		return err
	}
	return l.schemas.row(v[2:])
}

// second writes, and commits. From here on nothing is cancelled.
func (a *attempt) second() error {
	l := a.w.l
	l.sealed.Store(true)
	defer l.sealed.Store(false)
	l.warned.Store(false)
	a.sent = true
	end := &request{statement: commit}
	if err := l.send(context.Background(), append(a.requests(), end)...); err != nil {
		return err
	}
	if l.warned.Load() {
		return errWarned
	}
	if end.tag != "COMMIT" {
		return fmt.Errorf("%w: %q to a COMMIT", errShortAnswer, end.tag)
	}
	return nil
}

// requests are the statements of the second half, but for COMMIT.
func (a *attempt) requests() (list []*request) {
	w := a.writes
	add := func(s statement, params ...[]byte) { list = append(list, &request{statement: s, params: params}) }
	if len(w.inserts) > 0 {
		add(insert, columns(w.inserts, &a.w.inserted)...)
	}
	if len(w.starts) > 0 {
		after := a.locked.versions + versionsOfGroup
		add(removeRanges, byteaList(w.starts), byteaList(w.ends), byteaList(w.kept), int8Param(after))
	}
	if len(w.updates) > 0 {
		add(update, columns(w.updates, &a.w.updated)...)
	}
	if len(w.removes) > 0 {
		add(remove, byteaList(w.removes))
	}
	if len(w.starts) > 0 {
		add(emptyRanges, byteaList(w.starts), byteaList(w.ends), byteaList(w.kept))
	}
	if p := a.plan; len(p.ids) > 0 {
		ids := byteaArray(len(p.ids), func(i int) []byte { return p.ids[i][:] })
		add(remember, ids, int8Param(p.l.bucket), byteaList(p.results))
	}
	id := int8Param(a.w.id)
	add(change, id, int8Param(a.seq), int8Param(a.locked.versions), encodeKeys(w.affected), byteaList(w.removes),
		byteaList(w.starts), byteaList(w.ends))
	if n := len(w.inserts); n > 0 {
		add(newest, int8Param(a.locked.versions), id, byteaArray(n, func(i int) string { return w.inserts[i].key }))
	}
	if upTo := a.w.forget(time.Now()); upTo > 0 {
		add(forgetChanges, id, int8Param(upTo))
	}
	return list
}

// columns are rows as the arrays that insert and update take, the values in the memory that room is for them.
func columns(rows []row, room *[]byte) [][]byte {
	values := appendByteaArray(*room, len(rows), func(i int) []byte { return rows[i].value })
	*room = nil
	if cap(values) <= 2*groupOctets {
		*room = values
	}
	return [][]byte{
		byteaArray(len(rows), func(i int) string { return rows[i].key }),
		int8Array(len(rows), func(i int) int64 { return int64(rows[i].version) }),
		values,
	}
}

// names returns the keys that the batches of a group name, each once: those that they may change, and those of which they only
// read the version.
func (g *group) names() (changed, read []string) {
	if g.named == len(g.jobs) {
		return g.changed, g.read
	}
	seen := make(map[string]struct{}, 8*len(g.jobs))
	g.changed, g.read = make([]string, 0, 8*len(g.jobs)), nil
	for _, j := range g.jobs {
		g.changed = appendUnseen(g.changed, j.keys, seen)
	}
	for _, j := range g.jobs {
		g.read = appendUnseen(g.read, j.reads, seen)
	}
	g.named = len(g.jobs)
	return g.changed, g.read
}

// appendUnseen adds the keys that are not seen yet.
func appendUnseen(list, keys []string, seen map[string]struct{}) []string {
	for _, key := range keys {
		if _, ok := seen[key]; !ok {
			seen[key] = struct{}{}
			list = append(list, key)
		}
	}
	return list
}

// ids returns those of the batches of a group.
func (g *group) ids() (ids [][]byte) {
	for _, j := range g.jobs {
		if j.batch.ID != (store.BatchID{}) {
			ids = append(ids, j.batch.ID[:])
		}
	}
	return ids
}

// encodeKeys puts keys into one value, each with its length in front.
func encodeKeys(keys []string) []byte {
	size := 0
	for _, key := range keys {
		size += 2 + len(key)
	}
	b := make([]byte, 0, size)
	for _, key := range keys {
		b = binary.BigEndian.AppendUint16(b, uint16(len(key)))
		b = append(b, key...)
	}
	return b
}

// decodeKeys calls each with every key of such a value.
func decodeKeys(b []byte, each func(key []byte)) error {
	for len(b) > 0 {
		if len(b) < 2 || len(b)-2 < int(binary.BigEndian.Uint16(b)) {
			return errShortAnswer
		}
		n := 2 + int(binary.BigEndian.Uint16(b))
		each(b[2:n])
		b = b[n:]
	}
	return nil
}
