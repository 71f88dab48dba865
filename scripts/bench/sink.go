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

// relaySink is an SMTP server that takes every message and forgets it: where relayed mail goes. It counts a message once for
// each recipient that it accepted.
type relaySink struct {
	port  string
	taken atomic.Int64
	want  atomic.Int64
	full  chan time.Time // when the wanted number was taken

	// hear is told who names a recipient, and answers; nil: answerTo.
	hear atomic.Pointer[func(client, recipient string) string]
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
	client := ""
	accepted := 0 // recipients of the transaction
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
			client, accepted = rest, 0
			out.WriteString("250-sink\r\n250-PIPELINING\r\n250-CHUNKING\r\n250 8BITMIME\r\n")
		case "DATA":
			if accepted == 0 { // with 354 a client that did not wait would have to send a lone dot (RFC 2920 §3.1)
				out.WriteString(noRecipients)
				continue
			}
			out.WriteString("354 go\r\n")
			if out.Flush() != nil || skipContent(in) != nil {
				return
			}
			s.take(out, accepted)
			accepted = 0
		case "BDAT":
			size, last, _ := strings.Cut(rest, " ")
			n, err := strconv.Atoi(size)
			if err != nil {
				return
			}
			if _, err := in.Discard(n); err != nil {
				return
			}
			switch {
			case accepted == 0:
				out.WriteString(noRecipients)
			case strings.EqualFold(last, "LAST"):
				s.take(out, accepted)
				accepted = 0
			default:
				out.WriteString("250 go on\r\n")
			}
		case "RCPT":
			answer := s.answer(client, rest)
			if strings.HasPrefix(answer, "250") {
				accepted++
			}
			out.WriteString(answer)
		case "MAIL", "RSET":
			accepted = 0
			out.WriteString("250 ok\r\n")
		case "QUIT":
			out.WriteString("221 bye\r\n")
			out.Flush()
			return
		default:
			out.WriteString("250 ok\r\n")
		}
	}
}

func (s *relaySink) answer(client, rest string) string {
	if hear := s.hear.Load(); hear != nil {
		return (*hear)(client, rest)
	}
	return answerTo(rest)
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

const noRecipients = "554 5.5.1 no valid recipients\r\n"

func (s *relaySink) take(out *bufio.Writer, recipients int) {
	out.WriteString("250 taken\r\n")
	after, want := s.taken.Add(int64(recipients)), s.want.Load()
	if after >= want && after-int64(recipients) < want {
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
