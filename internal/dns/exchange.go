package dns

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/miekg/dns"
)

const (
	// ednsSize is the largest UDP message that we offer to take and send: it passes without fragments (RFC 9715 §3).
	ednsSize = 1232
	// maxStray is how many UDP messages that do not answer our question are passed over: beyond it somebody is
	// guessing our question's id, and we ask over TCP, where guessing does not help (RFC 5452 §9.3).
	maxStray = 16
)

// Dial connects to a server: network is "udp" or "tcp", address is address:port.
type Dial = func(ctx context.Context, network, address string) (net.Conn, error)

// exchanger asks one server one question.
type exchanger struct {
	dial    Dial
	timeout time.Duration // for each of UDP and TCP
}

func newExchanger(dial Dial, timeout time.Duration) exchanger {
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	return exchanger{dial, timeout}
}

// failure is why an exchange came to no usable reply.
type failure struct {
	code string
	err  error
}

func (f *failure) Error() string {
	if f.err == nil {
		return f.code
	}
	return f.code + ": " + f.err.Error()
}

func (f *failure) Unwrap() error { return f.err }

// ask sends q to server and returns its reply: NOERROR or NXDOMAIN, complete. Everything else is an error; its code
// is that of codeOfError.
func (x exchanger) ask(ctx context.Context, server string, q question, recurse bool) (*dns.Msg, error) {
	m, err := x.transfer(ctx, server, q, recurse, true)
	// RFC 6891 §6.2.2: a server that does not know EDNS may say so in these ways.
	if err == nil && m.IsEdns0() == nil && (m.Rcode == dns.RcodeFormatError || m.Rcode == dns.RcodeNotImplemented) {
		m, err = x.transfer(ctx, server, q, recurse, false)
	}
	if err != nil {
		return nil, err
	}
	if m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError {
		return nil, &failure{codeOf(m.Rcode), nil}
	}
	return m, nil
}

// transfer asks over UDP, and over TCP when the reply does not fit (RFC 7766 §5).
func (x exchanger) transfer(ctx context.Context, server string, q question, recurse, edns bool) (*dns.Msg, error) {
	id, packet, err := newQuery(q, recurse, edns)
	if err != nil {
		return nil, &failure{CodeBadName, err}
	}
	match := func(m *dns.Msg) bool { return answers(m, id, q) }
	m, err := x.over(ctx, "udp", server, func(conn net.Conn) (*dns.Msg, error) { return overUDP(conn, packet, match) })
	if err == nil && !m.Truncated {
		return m, nil
	}
	if err != nil && !errors.Is(err, errStray) {
		return nil, err
	}
	return x.over(ctx, "tcp", server, func(conn net.Conn) (*dns.Msg, error) { return overTCP(conn, packet, match) })
}

// newQuery packs a query with a random id.
func newQuery(q question, recurse, edns bool) (id uint16, packet []byte, err error) {
	var random [2]byte
	rand.Read(random[:])
	m := &dns.Msg{Question: []dns.Question{{Name: q.name, Qtype: q.qtype, Qclass: dns.ClassINET}}}
	m.Id, m.RecursionDesired = binary.BigEndian.Uint16(random[:]), recurse
	if edns {
		m.SetEdns0(ednsSize, false)
	}
	packet, err = m.Pack()
	return m.Id, packet, err
}

// over dials, and lets exchange use the connection until the timeout or ctx ends it.
func (x exchanger) over(ctx context.Context, network, server string, exchange func(net.Conn) (*dns.Msg, error)) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, x.timeout)
	defer cancel()
	conn, err := x.dial(ctx, network, server)
	if err != nil {
		return nil, networkFailure(ctx, err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	m, err := exchange(conn)
	if err != nil {
		return nil, networkFailure(ctx, err)
	}
	return m, nil
}

// networkFailure gives an error of a connection its code.
func networkFailure(ctx context.Context, err error) error {
	var timeout net.Error
	switch {
	case errors.Is(err, errMalformed):
		return &failure{CodeMalformed, err}
	case errors.Is(err, errStray):
		return &failure{CodeMalformed, err}
	case ctx.Err() != nil, errors.As(err, &timeout) && timeout.Timeout():
		return &failure{CodeTimeout, nil}
	}
	return &failure{CodeUnreachable, err}
}

var errStray = errors.New("too many messages that are not the answer")

// overUDP sends a query and reads until its reply. Messages that do not match may come from anybody and are passed
// over; one that does match by its id but is malformed ends the wait.
func overUDP(conn net.Conn, packet []byte, match func(*dns.Msg) bool) (*dns.Msg, error) {
	if _, err := conn.Write(packet); err != nil {
		return nil, err
	}
	buffer := make([]byte, 4*1024) // more than we offered to take: what is larger does not unpack
	for range maxStray {
		n, err := conn.Read(buffer)
		if err != nil {
			return nil, err
		}
		if n < headerOctets || [2]byte(buffer) != [2]byte(packet) {
			continue
		}
		m, err := unpack(buffer[:n])
		// A truncated message may end anywhere; the real one comes over TCP.
		if truncated := buffer[2]&0x02 != 0; err != nil && truncated {
			return &dns.Msg{MsgHdr: dns.MsgHdr{Truncated: true}}, nil
		}
		if err != nil || match(m) {
			return m, err
		}
	}
	return nil, errStray
}

// overTCP sends a query and reads one message (RFC 1035 §4.2.2), which must be its reply: nobody else can write here.
func overTCP(conn net.Conn, packet []byte, match func(*dns.Msg) bool) (*dns.Msg, error) {
	if err := writeFrame(conn, packet); err != nil {
		return nil, err
	}
	data, err := readFrame(conn)
	if err != nil {
		return nil, err
	}
	m, err := unpack(data)
	if err != nil {
		return nil, err
	}
	if !match(m) {
		return nil, fmt.Errorf("%w: not the answer to the question", errMalformed)
	}
	if m.Truncated {
		return nil, fmt.Errorf("%w: truncated over TCP", errMalformed)
	}
	return m, nil
}

// writeFrame writes a message with its length before it, in one write.
func writeFrame(w io.Writer, packet []byte) error {
	frame := binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(packet)), uint16(len(packet)))
	_, err := w.Write(append(frame, packet...))
	return err
}

// readFrame reads a message with its length before it: at most 64 KiB, which take as much memory only as they come.
func readFrame(r io.Reader) ([]byte, error) {
	var length [2]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(r, int64(binary.BigEndian.Uint16(length[:]))))
	if err != nil {
		return nil, err
	}
	if len(data) < int(binary.BigEndian.Uint16(length[:])) {
		return nil, io.ErrUnexpectedEOF
	}
	return data, nil
}

// codeOfError returns the code of an error of ask.
func codeOfError(err error) string {
	var f *failure
	switch {
	case errors.As(err, &f):
		return f.code
	case errors.Is(err, errLoop), errors.Is(err, errAliases):
		return CodeLoop
	case errors.Is(err, errMalformed):
		return CodeMalformed
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return CodeTimeout
	}
	return CodeServFail
}
