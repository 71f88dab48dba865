package proxyproto

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// header writes one with that command and family, the addresses of 192.0.2.9:4711 and 2001:db8::9, and size octets in all.
func header(command, family byte, addresses ...byte) []byte {
	b := append([]byte(signature), version2|command, family)
	return append(binary.BigEndian.AppendUint16(b, uint16(len(addresses))), addresses...)
}

var (
	client4 = []byte{192, 0, 2, 9, 198, 51, 100, 1, 0x12, 0x67, 0, 25}
	client6 = append(append(netip.MustParseAddr("2001:db8::9").AsSlice(), make([]byte, 16)...), 0x12, 0x67, 0, 25)
)

func TestRead(t *testing.T) {
	t.Parallel()
	mapped := append(append(netip.MustParseAddr("::ffff:192.0.2.9").AsSlice(), make([]byte, 16)...), 0x12, 0x67, 0, 25)
	for name, c := range map[string]struct {
		in   []byte
		want string // the source, "local", or a part of the error
	}{
		"IPv4":            {header(1, tcp4, client4...), "192.0.2.9:4711"},
		"IPv6":            {header(1, tcp6, client6...), "[2001:db8::9]:4711"},
		"further fields":  {header(1, tcp4, append(client4, 4, 0, 1, 0)...), "192.0.2.9:4711"},
		"IPv4 in IPv6":    {header(1, tcp6, mapped...), "192.0.2.9:4711"},
		"LOCAL":           {header(0, 0), "local"},
		"LOCAL, with":     {header(0, tcp4, client4...), "local"},
		"version 1":       {[]byte("PROXY TCP4 192.0.2.9 198.51.100.1 4711 25\r\n"), "version 1 is not taken"},
		"none":            {[]byte("EHLO client.example.test\r\n"), "does not begin with"},
		"version 3":       {append([]byte(signature), 0x31, tcp4, 0, 0), "version 3"},
		"command 2":       {header(2, tcp4, client4...), "command 2"},
		"UNSPEC":          {header(1, 0), "no TCP address"},
		"UDP":             {header(1, 0x12, client4...), "no TCP address"},
		"a Unix socket":   {header(1, 0x31, make([]byte, 216)...), "no TCP address"},
		"too short":       {header(1, tcp6, client4...), "too short"},
		"too long":        {append([]byte(signature), 0x21, tcp4, 0xff, 0xff), "too long"},
		"cut":             {header(1, tcp4, client4...)[:20], "no whole"},
		"nothing":         {nil, "no whole"},
		"nobody":          {header(1, tcp4, make([]byte, tcp4Size)...), "nobody's"},
		"multicast group": {header(1, tcp4, append([]byte{224, 0, 0, 1}, client4[4:]...)...), "nobody's"},
	} {
		r := bytes.NewReader(append(c.in, "EHLO"...))
		if name == "cut" || name == "nothing" {
			r = bytes.NewReader(c.in)
		}
		h, err := Read(r)
		got := h.Source.String()
		switch {
		case err != nil:
			got = err.Error()
		case h.Local:
			got = "local"
		}
		if !strings.Contains(got, c.want) {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
		if rest, _ := io.ReadAll(r); err == nil && string(rest) != "EHLO" {
			t.Errorf("%s: left %q", name, rest)
		}
	}
}

// pipeListener gives out the far ends of pipes, as connections from 10.0.0.1.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}
func (l *pipeListener) Close() error   { close(l.closed); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{} }

func (l *pipeListener) dial(from string) net.Conn {
	near, far := net.Pipe()
	l.conns <- otherConn{far, net.TCPAddrFromAddrPort(netip.MustParseAddrPort(from))}
	return near
}

// TestListener: a proxy that is silent holds up nobody and is closed after its time; others need no header.
func TestListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		below := &pipeListener{make(chan net.Conn), make(chan struct{})}
		refused := make(chan Refusal, 1)
		l := NewListener(below, Options{
			From: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, Refused: func(r Refusal) { refused <- r },
		})
		began := time.Now()
		silent := below.dial("10.0.0.1:1000")
		direct := below.dial("198.51.100.7:1000")
		if c, err := l.Accept(); err != nil || c.RemoteAddr().String() != "198.51.100.7:1000" {
			t.Error(c, err)
		}
		proxied := below.dial("10.0.0.2:1000")
		go proxied.Write(append(header(1, tcp4, client4...), "EHLO"...))
		c, err := l.Accept()
		if err != nil || c.RemoteAddr().String() != "192.0.2.9:4711" {
			t.Fatal(c, err)
		}
		first := make([]byte, 10)
		if n, err := c.Read(first); err != nil || string(first[:n]) != "EHLO" {
			t.Errorf("behind the header: %q %v", first[:n], err)
		}
		check := below.dial("10.0.0.3:1000")
		go check.Write(header(0, 0))
		if c, err := l.Accept(); err != nil || c.RemoteAddr().String() != "10.0.0.3:1000" {
			t.Error("LOCAL:", c, err)
		}
		r := <-refused
		if time.Since(began) != HeaderTimeout || r.From.String() != "10.0.0.0/8" || r.Proxy.String() != "10.0.0.1:1000" {
			t.Errorf("refused %+v after %v", r, time.Since(began))
		}
		if _, err := silent.Read(first); !errors.Is(err, io.EOF) {
			t.Error("the silent proxy is still connected:", err)
		}
		pending := below.dial("10.0.0.4:1000")
		synctest.Wait()
		l.Close()
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Error("after Close:", err)
		}
		if _, err := pending.Read(first); !errors.Is(err, io.EOF) {
			t.Error("Close left a connection:", err)
		}
		direct.Close()
	})
}

// FuzzRead: what is taken has the address of one client, or is the proxy itself; the header is never read beyond its length.
func FuzzRead(f *testing.F) {
	f.Add(header(1, tcp4, client4...))
	f.Add(header(1, tcp6, client6...))
	f.Add(header(0, 0))
	f.Add([]byte("PROXY TCP4 192.0.2.9 198.51.100.1 4711 25\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bytes.NewReader(data)
		h, err := Read(r)
		if read := len(data) - r.Len(); read > fixedSize+maxRest {
			t.Fatalf("%d octets were read", read)
		}
		if err != nil {
			return
		}
		size := fixedSize + int(binary.BigEndian.Uint16(data[14:]))
		if len(data)-r.Len() != size || h.Local == h.Source.Addr().IsValid() {
			t.Fatalf("%+v of %q", h, data)
		}
	})
}
