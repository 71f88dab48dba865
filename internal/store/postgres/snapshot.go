package postgres

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"waybill/internal/store"
)

const (
	// readTimeout bounds one read, which is a row or a page of them.
	readTimeout = 30 * time.Second
	// A scan reads pages, the first one small, so that their values come to about pageOctets each.
	firstPage, largestPage = 16, 1024
	pageOctets             = 1 << 20
)

var (
	errBusy = errors.New("all connections for reading are in use: are snapshots kept open?")
	errAged = fmt.Errorf("%w: the snapshot is too old", store.ErrUnavailable)
	errDone = fmt.Errorf("%w: snapshot", store.ErrClosed)
)

// readers are the connections for snapshots, apart from those that commit: neither can starve the other.
type readers struct {
	s     *Store
	slots chan struct{} // one for each connection that may be in use

	mu     sync.Mutex
	idle   []*link
	opened map[*snapshot]struct{}
	closed bool
	ending sync.WaitGroup
}

func newReaders(s *Store) *readers {
	return &readers{s: s, slots: make(chan struct{}, s.o.Readers), opened: map[*snapshot]struct{}{}}
}

// open begins a snapshot, as soon as there is a connection for it.
func (r *readers) open() (store.Snapshot, error) {
	patience := time.NewTimer(r.s.o.Patience)
	defer patience.Stop()
	select {
	case r.slots <- struct{}{}:
	case <-patience.C:
		return nil, fmt.Errorf("%w: %w", store.ErrUnavailable, errBusy)
	case <-r.s.ctx.Done():
		return nil, store.ErrClosed
	}
	l, err := r.begin()
	if err != nil {
		<-r.slots
		if r.s.closed.Load() {
			return nil, store.ErrClosed
		}
		if code(err) == "53300" { // the server's connections are used up: those that there are go on
			return nil, unavailable(store.ErrUnavailable, err)
		}
		return nil, r.s.fail(err)
	}
	n := &snapshot{s: r.s, l: l, refs: 1}
	n.aged = time.AfterFunc(r.s.o.SnapshotAge, func() { n.end(errAged) })
	r.mu.Lock()
	defer r.mu.Unlock()
	r.opened[n] = struct{}{}
	return n, nil
}

// begin takes a connection, or makes one, and begins a transaction that sees this moment.
func (r *readers) begin() (*link, error) {
	ctx, cancel := context.WithTimeout(r.s.ctx, readTimeout)
	defer cancel()
	for {
		l := r.pop()
		fresh := l == nil
		if fresh {
			var err error
			if l, err = r.s.dialStore(ctx); err != nil {
				return nil, err
			}
		}
		err := l.send(ctx, &request{statement: beginRead}, &request{statement: see, row: r.s.o.schemas.row})
		if err == nil {
			return l, nil
		}
		l.close()
		if fresh {
			return nil, err
		}
	}
}

func (r *readers) pop() *link {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := len(r.idle); n > 0 {
		l := r.idle[n-1]
		r.idle = r.idle[:n-1]
		return l
	}
	return nil
}

// done takes a snapshot's connection back.
func (r *readers) done(n *snapshot) {
	r.mu.Lock()
	delete(r.opened, n)
	r.ending.Add(1)
	r.mu.Unlock()
	go func() {
		defer r.ending.Done()
		defer func() { <-r.slots }()
		ctx, cancel := context.WithTimeout(r.s.ctx, readTimeout)
		defer cancel()
		if n.l.lost() || n.l.send(ctx, &request{statement: rollback}) != nil {
			n.l.close()
			return
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.closed {
			n.l.close()
			return
		}
		r.idle = append(r.idle, n.l)
	}()
}

// close ends all connections; snapshots that are open are of no use any more.
func (r *readers) close() {
	r.mu.Lock()
	r.closed = true
	idle, opened := r.idle, r.opened
	r.idle, r.opened = nil, map[*snapshot]struct{}{}
	r.mu.Unlock()
	for _, l := range idle {
		l.close()
	}
	for n := range opened {
		n.end(store.ErrClosed)
	}
	r.ending.Wait()
}

// snapshot implements store.Snapshot: a transaction that sees one moment.
type snapshot struct {
	s    *Store
	aged *time.Timer

	use sync.Mutex // of l
	l   *link

	mu    sync.Mutex
	refs  int   // reads under way, and 1 until the end
	ended error // why it is of no use any more
}

// begin and release surround every read.
func (n *snapshot) begin() error {
	if n.s.closed.Load() {
		return store.ErrClosed
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ended != nil {
		return n.ended
	}
	n.refs++
	return nil
}

func (n *snapshot) release() {
	n.mu.Lock()
	n.refs--
	last := n.refs == 0
	n.mu.Unlock()
	if last {
		n.s.readers.done(n)
	}
}

// end makes the snapshot useless, for those reads that have not begun.
func (n *snapshot) end(why error) {
	n.mu.Lock()
	first := n.ended == nil
	if first {
		n.ended = why
	}
	n.mu.Unlock()
	if first {
		n.release()
	}
}

// Close implements store.Snapshot; a second call does nothing.
func (n *snapshot) Close() error {
	n.aged.Stop()
	n.end(errDone)
	return nil
}

// read sends one statement.
func (n *snapshot) read(r *request) error {
	if n.s.closed.Load() {
		return store.ErrClosed
	}
	n.use.Lock()
	defer n.use.Unlock()
	ctx, cancel := context.WithTimeout(n.s.ctx, readTimeout)
	defer cancel()
	if err := n.l.send(ctx, r); err != nil {
		return unavailable(store.ErrUnavailable, err)
	}
	return nil
}

// Get implements store.Snapshot.
func (n *snapshot) Get(key []byte) (value []byte, version store.Version, err error) {
	if err := n.begin(); err != nil {
		return nil, 0, err
	}
	defer n.release()
	r := &request{statement: get, params: [][]byte{octets(key)}}
	r.row = func(v [][]byte) error {
		value = append([]byte{}, v[1]...)
		number, err := readInt8(v[0])
		version = store.Version(number)
		return err
	}
	if err := n.read(r); err != nil {
		return nil, 0, err
	}
	if r.rows == 0 {
		return nil, 0, store.ErrNotFound
	}
	return value, version, nil
}

// Scan implements store.Snapshot.
func (n *snapshot) Scan(r store.Range) iter.Seq2[store.Entry, error] {
	return func(yield func(store.Entry, error) bool) {
		if err := n.begin(); err != nil {
			yield(store.Entry{}, err)
			return
		}
		defer n.release()
		c := cursor{n: n, start: octets(r.Start), end: endOf(r.End), reverse: r.Reverse, page: firstPage}
		if r.End != nil && string(r.Start) >= string(r.End) {
			return
		}
		for left := r.Limit; ; {
			entries, more, err := c.next(left)
			if err != nil {
				yield(store.Entry{}, err)
				return
			}
			for i := range entries {
				if !yield(entries[i], nil) {
					return
				}
			}
			if left -= len(entries); !more || r.Limit > 0 && left <= 0 {
				return
			}
		}
	}
}

// cursor steps through a range by pages.
type cursor struct {
	n          *snapshot
	start, end []byte
	reverse    bool
	page       int
}

// next reads a page, of at most limit entries if that is positive, and tells whether there may be more.
func (c *cursor) next(limit int) (entries []store.Entry, more bool, err error) {
	want := c.page
	if limit > 0 {
		want = min(want, limit)
	}
	r := &request{statement: scan, params: [][]byte{c.start, c.end, int8Param(int64(want))}}
	if c.reverse {
		r.statement = scanBack
	}
	size := 0
	r.row = func(v [][]byte) error {
		version, err := readInt8(v[1])
		entries = append(entries, store.Entry{
			Key: append([]byte{}, v[0]...), Value: append([]byte{}, v[2]...), Version: store.Version(version),
		})
		size += len(v[0]) + len(v[2]) + 32
		return err
	}
	if err := c.n.read(r); err != nil {
		return nil, false, err
	}
	if len(entries) < want {
		return entries, false, nil
	}
	last := entries[len(entries)-1].Key
	if c.reverse {
		c.end = last
	} else {
		c.start = append(last[:len(last):len(last)], 0)
	}
	c.page = max(1, min(4*c.page, largestPage, pageOctets*len(entries)/size))
	return entries, true, nil
}
