package smtp

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"waybill/internal/dialogue"
	"waybill/internal/mail"
)

// manyLines are 1 MiB of ordinary lines.
var manyLines = bytes.Repeat([]byte(strings.Repeat("x", 70)+"\r\n"), 1<<20/72)

// drain is a connection that takes whatever is written.
type drain struct{ net.Conn }

func (drain) Write(p []byte) (int, error)      { return len(p), nil }
func (drain) Read([]byte) (int, error)         { return 0, os.ErrDeadlineExceeded }
func (drain) SetReadDeadline(time.Time) error  { return nil }
func (drain) SetWriteDeadline(time.Time) error { return nil }

// BenchmarkSendContent is what the client does with the octets of a message, without the network.
func BenchmarkSendContent(b *testing.B) {
	for _, way := range []string{"DATA", "BDAT"} {
		b.Run(way, func(b *testing.B) {
			b.SetBytes(int64(len(manyLines)))
			b.ReportAllocs()
			for b.Loop() {
				c := NewClient(drain{}, ClientOptions{})
				s := &sending{Transaction: Transaction{Size: int64(len(manyLines)), Content: bytes.NewReader(manyLines)}}
				if err := sendBy(c, s, way); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// source is a connection from which octets come as fast as they are read.
type source struct {
	net.Conn
	in []byte
}

func (s *source) Read(p []byte) (int, error) {
	if len(s.in) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.in)
	s.in = s.in[n:]
	return n, nil
}

func (*source) SetReadDeadline(time.Time) error  { return nil }
func (*source) SetWriteDeadline(time.Time) error { return nil }

// BenchmarkReceiveContent is what the server does with the octets of a message, without the network.
func BenchmarkReceiveContent(b *testing.B) {
	for _, way := range []string{"DATA", "BDAT"} {
		b.Run(way, func(b *testing.B) {
			b.SetBytes(int64(len(manyLines)))
			b.ReportAllocs()
			in := append(bytes.Clone(manyLines), ".\r\n"...)
			for b.Loop() {
				c := newContent(dialogue.NewConn(&source{in: in}, time.Second), limitsOf(1<<30), false)
				if way == "BDAT" {
					c = newChunked(c, nil)
					c.begin(int64(len(manyLines)), true)
				}
				if n, err := c.WriteTo(io.Discard); n != int64(len(manyLines)) || err != nil {
					b.Fatal(n, err)
				}
				c.line.Narrow()
			}
		})
	}
}

// BenchmarkMegabyte sends a message of 1 MiB from our client to our server, over loopback.
func BenchmarkMegabyte(b *testing.B) {
	for _, way := range []string{"DATA", "BDAT"} {
		b.Run(way, func(b *testing.B) {
			s := &Server{Hostname: "mail.test", NewSession: func(context.Context, *Conn) (Session, error) { return nullSession{}, nil }}
			c := connect(b, listen(b, s), nil)
			greet(b, c)
			if way == "DATA" {
				delete(c.extensions, "CHUNKING")
			}
			b.SetBytes(int64(len(manyLines)))
			b.ReportAllocs()
			for b.Loop() {
				sendTo(b, c, manyLines)
			}
		})
	}
}

func sendTo(b *testing.B, c *Client, content []byte) {
	r, err := c.Send(b.Context(), Transaction{ReversePath: me, Recipients: []mail.Address{you},
		Size: int64(len(content)), Content: bytes.NewReader(content)})
	if err != nil || !r.Data.Success() {
		b.Fatal(r, err)
	}
}

func sendBy(c *Client, s *sending, way string) error {
	w := interface {
		io.Writer
		finish() error
	}(&dotWriter{line: c.line, pace: c.pace(), lineStart: true})
	if way == "BDAT" {
		w = &chunkWriter{line: c.line, pace: c.pace(), size: s.Size, left: s.Size}
	}
	if _, err := s.Content.WriteTo(w); err != nil {
		return err
	}
	return errors.Join(w.finish(), c.line.Flush())
}
