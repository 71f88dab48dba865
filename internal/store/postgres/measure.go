package postgres

import (
	"context"

	"waybill/internal/store"
)

// Measure counts the keys, and the octets of keys and values. The server reads no value for it that lies apart from its row.
func (s *Store) Measure(ctx context.Context) (keys, octets int64, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	l, err := s.dialStore(ctx)
	if err != nil {
		return 0, 0, explain(err)
	}
	defer l.close()
	err = l.send(ctx, &request{statement: wholeTable}, &request{statement: size, row: func(v [][]byte) (err error) {
		if keys, err = readInt8(v[0]); err == nil {
			octets, err = readInt8(v[1])
		}
		return err
	}})
	return keys, octets, explain(err)
}

// Newest returns the newest version that any node has drawn for a batch, once all transactions have ended that have drawn theirs: what becomes
// visible later has a newer one. A batch that was refused has drawn one, too.
func (s *Store) Newest(ctx context.Context) (newest store.Version, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	l, err := s.dialStore(ctx)
	if err != nil {
		return 0, explain(err)
	}
	defer l.close()
	err = l.send(ctx, &request{statement: drawn, row: func(v [][]byte) error {
		n, err := readInt8(v[0])
		newest = store.Version(n)
		return err
	}})
	if err == nil { // not in one go: what is locked must be seen as it is after the version was read
		err = l.send(ctx, &request{statement: idle})
	}
	if isStuck(err) && s.endTorn(l) {
		err = l.send(ctx, &request{statement: idle})
	}
	return newest, explain(err)
}
