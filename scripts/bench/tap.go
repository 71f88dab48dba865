package main

import (
	"context"
	"encoding/binary"
	"net"
	"sync"
	"sync/atomic"
)

// tap is a TCP proxy between nodes and a database that counts what passes, of PostgreSQL's protocol without TLS.
type tap struct {
	port, to string
	counters
}

// counters are what has passed.
type counters struct {
	there, back atomic.Int64 // octets to the database and from it
	statements  atomic.Int64
	trips       atomic.Int64 // times that something was sent after something was received
}

// counted are counters at one moment.
type counted struct{ there, back, statements, trips float64 }

func (c *counters) now() counted {
	return counted{float64(c.there.Load()), float64(c.back.Load()), float64(c.statements.Load()), float64(c.trips.Load())}
}

// newTap listens until ctx is done.
func newTap(ctx context.Context, to string) (*tap, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { l.Close() })
	_, port, _ := net.SplitHostPort(l.Addr().String())
	t := &tap{port: port, to: to}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go t.pass(conn)
		}
	}()
	return t, nil
}

func (t *tap) pass(node net.Conn) {
	defer node.Close()
	database, err := net.Dial("tcp", t.to)
	if err != nil {
		return
	}
	defer database.Close()
	var answered atomic.Bool // since the node last sent something
	answered.Store(true)
	f := &frames{}
	var both sync.WaitGroup
	both.Go(func() {
		forward(database, node, func(b []byte) {
			if answered.Swap(false) {
				t.trips.Add(1)
			}
			t.there.Add(int64(len(b)))
			t.statements.Add(f.statements(b))
		})
	})
	both.Go(func() {
		forward(node, database, func(b []byte) {
			answered.Store(true)
			t.back.Add(int64(len(b)))
		})
	})
	both.Wait()
}

// forward copies until one side ends, and ends the other.
func forward(to, from net.Conn, see func([]byte)) {
	defer to.(*net.TCPConn).CloseWrite()
	b := make([]byte, 64<<10)
	for {
		n, err := from.Read(b)
		if n > 0 {
			see(b[:n])
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// frames finds the messages in what a client sends (PostgreSQL, "Message Formats"): an octet that is the type, which the first one lacks, and the
// length of the rest with itself.
type frames struct {
	begun  bool
	header []byte // of the next message, as far as it has come
	left   int    // octets of the present one
}

// statements counts those that are executed in the next octets: Execute of a prepared one, or Query.
func (f *frames) statements(b []byte) (n int64) {
	for len(b) > 0 {
		if f.left > 0 {
			skip := min(f.left, len(b))
			f.left, b = f.left-skip, b[skip:]
			continue
		}
		f.header, b = append(f.header, b[0]), b[1:]
		size := 5
		if !f.begun {
			size = 4
		}
		if len(f.header) < size {
			continue
		}
		if f.begun && (f.header[0] == 'E' || f.header[0] == 'Q') {
			n++
		}
		f.left = int(binary.BigEndian.Uint32(f.header[size-4:])) - 4
		f.header, f.begun = f.header[:0], true
	}
	return n
}
