package dns

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/miekg/dns"
)

const (
	maxUDPQuestions = 1024             // of one socket, answered at the same time
	maxConnections  = 128              // of one TCP listener
	tcpIdleTimeout  = 10 * time.Second // between questions of a connection (RFC 7766 §6.2.3)
	tcpLifetime     = 2 * time.Minute  // of a connection
	maxQueryOctets  = 4096             // of a query over TCP
	acceptPause     = 50 * time.Millisecond
)

// responder answers a well-formed query for one name; nil sends nothing. client is where it came from.
type responder interface {
	respond(ctx context.Context, query *dns.Msg, client string) *dns.Msg
}

// serveUDP answers the queries that come to pc until ctx is done, and closes pc.
func serveUDP(ctx context.Context, pc net.PacketConn, r responder) error {
	defer pc.Close()
	stop := context.AfterFunc(ctx, func() { pc.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	var running sync.WaitGroup
	defer running.Wait()
	slots := make(chan struct{}, maxUDPQuestions)
	buffer := make([]byte, maxQueryOctets)
	for {
		n, from, err := pc.ReadFrom(buffer)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		case err != nil:
			pause(ctx) // such as an ICMP message about an earlier answer
			continue
		}
		packet := append([]byte(nil), buffer[:n]...)
		slots <- struct{}{} // full: the kernel's buffer is the queue, and drops what is too much
		running.Go(func() {
			defer func() { <-slots }()
			if answer := handle(ctx, packet, from.String(), r, true); answer != nil {
				pc.WriteTo(answer, from) // a lost answer is asked for again
			}
		})
	}
}

// serveTCP answers the queries of connections to l until ctx is done, and closes l and them.
func serveTCP(ctx context.Context, l net.Listener, r responder) error {
	defer context.AfterFunc(ctx, func() { l.Close() })()
	defer l.Close()
	var running sync.WaitGroup
	defer running.Wait()
	slots := make(chan struct{}, maxConnections)
	for {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
		conn, err := l.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				conn.Close()
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		case err != nil: // such as no file descriptors
			<-slots
			pause(ctx)
			continue
		}
		running.Go(func() {
			defer func() { <-slots }()
			serveConn(ctx, conn, r)
		})
	}
}

// pause waits a moment, so that an error that stays does not make a loop spin.
func pause(ctx context.Context) {
	select {
	case <-time.After(acceptPause):
	case <-ctx.Done():
	}
}

// serveConn answers the queries of a connection, one after another, until it ends or breaks the protocol.
func serveConn(ctx context.Context, conn net.Conn, r responder) {
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, tcpLifetime)
	defer cancel()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	for {
		conn.SetDeadline(time.Now().Add(tcpIdleTimeout))
		packet, err := readFrame(io.LimitReader(conn, 2+maxQueryOctets))
		if err != nil {
			return
		}
		answer := handle(ctx, packet, conn.RemoteAddr().String(), r, false)
		if answer == nil {
			return
		}
		conn.SetDeadline(time.Now().Add(tcpIdleTimeout))
		if writeFrame(conn, answer) != nil {
			return
		}
	}
}

// handle returns the answer to a packet, or nil for none.
func handle(ctx context.Context, packet []byte, client string, r responder, udp bool) (answered []byte) {
	defer func() { // a query that nobody has thought of must not end the process; it gets no answer
		if recover() != nil {
			answered = nil
		}
	}()
	if len(packet) < headerOctets || packet[2]&0x80 != 0 { // never answer an answer
		return nil
	}
	query, rcode := readQuery(packet)
	answer := new(dns.Msg)
	if rcode == dns.RcodeSuccess {
		answer = r.respond(ctx, query, client)
	} else {
		answer.SetRcode(query, rcode)
	}
	if answer == nil || ctx.Err() != nil {
		return nil
	}
	return packAnswer(query, answer, udp)
}

// readQuery reads a query and says with which RCODE to refuse it, if it is not a plain question. The query returned
// is good for SetRcode in any case.
func readQuery(packet []byte) (*dns.Msg, int) {
	query, err := unpack(packet)
	if err != nil {
		header := dns.MsgHdr{Id: uint16(packet[0])<<8 | uint16(packet[1]), Opcode: int(packet[2]>>3) & 0x0f}
		return &dns.Msg{MsgHdr: header}, dns.RcodeFormatError
	}
	opt := query.IsEdns0()
	switch {
	case query.Opcode != dns.OpcodeQuery:
		return query, dns.RcodeNotImplemented
	case len(query.Question) != 1, len(query.Answer) > 0, len(query.Ns) > 0:
		query.Question = nil
		return query, dns.RcodeFormatError
	case opt != nil && opt.Version() != 0:
		return query, dns.RcodeBadVers // RFC 6891 §6.1.3
	case query.Question[0].Qclass != dns.ClassINET:
		return query, dns.RcodeRefused
	}
	switch query.Question[0].Qtype {
	case dns.TypeAXFR, dns.TypeIXFR:
		return query, dns.RcodeRefused
	case dns.TypeMAILA, dns.TypeMAILB, dns.TypeNone, dns.TypeOPT:
		return query, dns.RcodeNotImplemented
	}
	return query, dns.RcodeSuccess
}

// packAnswer packs an answer into what the asker can take, with the TC bit where that is less than all of it.
func packAnswer(query, answer *dns.Msg, udp bool) []byte {
	size := dns.MaxMsgSize - 1
	opt := query.IsEdns0()
	if udp {
		size = dns.MinMsgSize
		if opt != nil {
			size = min(max(int(opt.UDPSize()), dns.MinMsgSize), ednsSize)
		}
	}
	if opt != nil {
		answer.SetEdns0(ednsSize, opt.Do())
	}
	answer.Truncate(size)
	answer.Compress = true
	packed, err := answer.Pack()
	if err == nil {
		return packed
	}
	packed, _ = new(dns.Msg).SetRcode(query, dns.RcodeServerFailure).Pack()
	return packed
}
