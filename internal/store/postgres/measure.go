package postgres

import "context"

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
