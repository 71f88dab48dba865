// Package proxyproto lets proxies say for whom they connect, by version 2 of HAProxy's PROXY protocol
// (https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt, section 2.2). Version 1, a line of text, is refused: who
// can be made to send a line must not be able to choose an address.
package proxyproto

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
)

// signature begins every header of version 2. No protocol for mail begins so.
const signature = "\r\n\r\n\x00\r\nQUIT\n"

const (
	fixedSize  = 16      // signature, version and command, family and protocol, length
	maxRest    = 4 << 10 // octets of addresses and further fields; proxies send some hundred at most
	commandOf  = 0x0f
	versionOf  = 0xf0
	version2   = 0x20
	commandNo  = 0 // LOCAL: the proxy speaks for itself
	commandYes = 1 // PROXY: it speaks for a client
	tcp4       = 0x11
	tcp6       = 0x21
	tcp4Size   = 4 + 4 + 2 + 2
	tcp6Size   = 16 + 16 + 2 + 2
)

// What is wrong with the beginning of a connection.
var (
	ErrNone     = errors.New("the connection does not begin with a PROXY protocol header")
	ErrVersion1 = errors.New("PROXY protocol version 1 is not taken: set the proxy to version 2 (HAProxy: send-proxy-v2)")
)

// Header is who a proxy connects for.
type Header struct {
	Local  bool           // the proxy itself, as for a health check; there is no Source
	Source netip.AddrPort // the client
}

// Read reads a header, and no octet beyond it.
func Read(r io.Reader) (Header, error) {
	var fixed [fixedSize]byte
	// A line of version 1 or a greeting may be shorter than a header: what is wrong must be told by its first octets.
	if _, err := io.ReadFull(r, fixed[:len(signature)]); err != nil {
		return Header{}, fmt.Errorf("no whole PROXY protocol header: %w", err)
	}
	switch begin := string(fixed[:len(signature)]); {
	case strings.HasPrefix(begin, "PROXY "):
		return Header{}, ErrVersion1
	case begin != signature:
		return Header{}, ErrNone
	}
	if _, err := io.ReadFull(r, fixed[len(signature):]); err != nil {
		return Header{}, fmt.Errorf("no whole PROXY protocol header: %w", err)
	}
	size := int(binary.BigEndian.Uint16(fixed[14:]))
	if fixed[12]&versionOf != version2 {
		return Header{}, fmt.Errorf("PROXY protocol version %d is not known", fixed[12]>>4)
	}
	if size > maxRest {
		return Header{}, fmt.Errorf("a PROXY protocol header of %d octets is too long", size)
	}
	rest := make([]byte, size)
	if _, err := io.ReadFull(r, rest); err != nil {
		return Header{}, fmt.Errorf("no whole PROXY protocol header: %w", err)
	}
	return parse(fixed[12]&commandOf, fixed[13], rest)
}

// parse reads what stands behind the fixed part. Of a client that has no address of TCP nothing is taken: its mail would
// pass for the proxy's own.
func parse(command, family byte, rest []byte) (Header, error) {
	switch command {
	case commandNo: // the receiver must skip what is there (section 2.2)
		return Header{Local: true}, nil
	case commandYes:
	default:
		return Header{}, fmt.Errorf("PROXY protocol command %d is not known", command)
	}
	var source netip.AddrPort
	switch {
	case family == tcp4 && len(rest) >= tcp4Size:
		source = netip.AddrPortFrom(netip.AddrFrom4([4]byte(rest)), binary.BigEndian.Uint16(rest[8:]))
	case family == tcp6 && len(rest) >= tcp6Size:
		source = netip.AddrPortFrom(netip.AddrFrom16([16]byte(rest)).Unmap(), binary.BigEndian.Uint16(rest[32:]))
	case family == tcp4 || family == tcp6:
		return Header{}, fmt.Errorf("a PROXY protocol header of %d octets is too short for its addresses", len(rest))
	default:
		return Header{}, fmt.Errorf("the PROXY protocol header names no TCP address of a client (family %#x)", family)
	}
	if a := source.Addr(); a.IsUnspecified() || a.IsMulticast() {
		return Header{}, fmt.Errorf("the PROXY protocol header names %s, which is nobody's address", a)
	}
	return Header{Source: source}, nil
}

// addr is the source as the net package writes addresses.
func (h Header) addr() net.Addr { return net.TCPAddrFromAddrPort(h.Source) }
