package main

import (
	"bufio"
	"bytes"
	"context"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// relaySink is an SMTP server that takes every message and forgets it: where relayed mail goes.
type relaySink struct {
	port  string
	taken atomic.Int64
	want  atomic.Int64
	full  chan time.Time // when the wanted number was taken
}

// newSink listens until ctx is done.
func newSink(ctx context.Context) (*relaySink, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { l.Close() })
	_, port, _ := net.SplitHostPort(l.Addr().String())
	s := &relaySink{port: port, full: make(chan time.Time, 1)}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go s.serve(conn)
		}
	}()
	return s, nil
}

// expect counts anew, and has full told when that many messages were taken.
func (s *relaySink) expect(n int) {
	s.taken.Store(0)
	s.want.Store(int64(n))
}

func (s *relaySink) await(ctx context.Context) (time.Time, error) {
	select {
	case at := <-s.full:
		return at, nil
	case <-ctx.Done():
		return time.Time{}, context.Cause(ctx)
	}
}

// serve speaks with one client. Replies to a group of commands go out together.
func (s *relaySink) serve(conn net.Conn) {
	defer conn.Close()
	in, out := bufio.NewReaderSize(conn, 64<<10), bufio.NewWriter(conn)
	out.WriteString("220 sink ESMTP\r\n")
	for {
		if in.Buffered() == 0 && out.Flush() != nil {
			return
		}
		line, err := in.ReadSlice('\n')
		if err != nil {
			return
		}
		word, rest, _ := strings.Cut(strings.TrimRight(string(line), "\r\n"), " ")
		switch strings.ToUpper(word) {
		case "EHLO":
			out.WriteString("250-sink\r\n250-PIPELINING\r\n250-CHUNKING\r\n250 8BITMIME\r\n")
		case "DATA":
			out.WriteString("354 go\r\n")
			if out.Flush() != nil || skipContent(in) != nil {
				return
			}
			s.take(out)
		case "BDAT":
			size, _, _ := strings.Cut(rest, " ")
			n, _ := strconv.Atoi(size)
			if _, err := in.Discard(n); err != nil {
				return
			}
			s.take(out)
		case "RCPT":
			out.WriteString(answerTo(rest))
		case "QUIT":
			out.WriteString("221 bye\r\n")
			out.Flush()
			return
		default:
			out.WriteString("250 ok\r\n")
		}
	}
}

// answerTo refuses some recipients for good, and some for now.
func answerTo(rest string) string {
	switch {
	case strings.HasPrefix(rest, "TO:<no@"):
		return "550 5.1.1 no such user\r\n"
	case strings.HasPrefix(rest, "TO:<later@"):
		return "450 4.2.1 not now\r\n"
	}
	return "250 ok\r\n"
}

func (s *relaySink) take(out *bufio.Writer) {
	out.WriteString("250 taken\r\n")
	if s.taken.Add(1) == s.want.Load() {
		select {
		case s.full <- time.Now():
		default:
		}
	}
}

// skipContent reads to the final dot.
func skipContent(in *bufio.Reader) error {
	for {
		line, err := in.ReadSlice('\n')
		if err != nil && err != bufio.ErrBufferFull {
			return err
		}
		if bytes.Equal(line, []byte(".\r\n")) {
			return nil
		}
	}
}
